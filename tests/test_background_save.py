"""Checkpoints written while training goes on: when the caller waits, what is written, where errors come out."""

import threading

import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.training.background_save import BackgroundSave
from cae_jax.training.checkpoints import CheckpointError, CheckpointStore

PATIENCE = 60  # seconds


class HeldStore:
    """Keeps what it is given once it is let go on."""

    def __init__(self):
        self.go_on, self.saved = threading.Event(), {}

    def save(self, step, trees, facts):
        """Waits, then keeps."""
        assert self.go_on.wait(PATIENCE)
        self.saved[step] = trees, facts


def test_the_caller_goes_on_and_what_is_written_is_what_was_there():
    store, weights = HeldStore(), np.ones(3)
    save = BackgroundSave(store)
    save(1, {"ema": {"w": weights}}, {"score": 1.0})
    weights[:] = 7.0
    save.look()
    assert store.saved == {}
    store.go_on.set()
    save.wait()
    trees, facts = store.saved[1]
    np.testing.assert_array_equal(trees["ema"]["w"], np.ones(3))
    assert facts == {"score": 1.0}


def test_one_is_written_after_the_other():
    store = HeldStore()
    save = BackgroundSave(store)
    save(1, {}, {})
    second = threading.Thread(target=save, args=(2, {}, {}))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    store.go_on.set()
    second.join(PATIENCE)
    save.wait()
    assert list(store.saved) == [1, 2]


@pytest.mark.parametrize("after", ["look", "wait", "save"])
def test_what_cannot_be_written_is_said_by_whatever_is_called_next(tmp_path, after):
    (tmp_path / "checkpoints").write_text("a file, no folder")
    save = BackgroundSave(CheckpointStore(tmp_path / "checkpoints"))
    save(1, {"ema": {"w": jnp.ones(2)}}, {"score": 0.0})
    save._pending.exception(PATIENCE)
    with pytest.raises(CheckpointError, match="could not be written"):
        save(2, {}, {}) if after == "save" else getattr(save, after)()
    save.look()
    save.wait()


def test_closing_waits_and_says_nothing(tmp_path):
    store = CheckpointStore(tmp_path)
    save = BackgroundSave(store)
    save(3, {"ema": {"w": jnp.ones(2)}}, {"score": 0.0})
    save.close()
    assert store.newest() == 3
