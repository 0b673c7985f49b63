"""Trainings before the first step: kept now and then and when interrupted, gone on with where all is the same."""

import signal

import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.errors import Terminated
from cae_jax.training import unfinished
from cae_jax.training.unfinished import Unfinished, forget_unfinished
from cae_jax.workdir.checkpoints import CheckpointStore

STEPS = 7


def work(workdir, interrupted_at=0, **facts):
    """Doubles and adds one, some times; the steps that were made and the result."""
    made = []
    with Unfinished(workdir, "mine", facts) as kept:
        done, state = kept.resume({"x": jnp.ones(2)})
        for step in range(done, STEPS):
            state = {"x": 2.0 * state["x"] + 1.0}
            made.append(step + 1)
            if step + 1 == interrupted_at:
                signal.raise_signal(signal.SIGTERM)
            kept.after(step + 1, state)
    return made, np.asarray(state["x"])


@pytest.fixture(autouse=True)
def sigterm():
    """Would otherwise end the tests."""
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("nobody took it"))
    yield
    signal.signal(signal.SIGTERM, before)


def test_where_several_processes_train_a_signal_ends_each_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished.jax, "process_count", lambda: 2)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which pytest's workers ignore
    with Unfinished(tmp_path, "mine", {}) as kept:
        kept.after(1, {"x": jnp.ones(2)})
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def interrupt(workdir, step, **facts):
    """Works until a step, the second of this start or a later one."""
    with pytest.raises(Terminated):
        work(workdir, step, **facts)


def test_interrupted_it_goes_on_where_it_was(tmp_path):
    interrupt(tmp_path, 3)
    interrupt(tmp_path, 5)
    made, found = work(tmp_path)
    assert made == [6, 7]
    np.testing.assert_array_equal(found, [2.0**STEPS * 2 - 1] * 2)


def test_of_other_facts_it_begins_anew(tmp_path):
    interrupt(tmp_path, 3, seed=0)
    assert work(tmp_path, seed=1)[0] == list(range(1, STEPS + 1))
    assert work(tmp_path, seed=0)[0] == [4, 5, 6, 7]


@pytest.mark.parametrize("step", [2, 3, 5])
def test_it_goes_on_where_it_was_though_other_facts_had_come_as_far_or_farther(tmp_path, step):
    interrupt(tmp_path, 4, seed=0)
    interrupt(tmp_path, step, seed=1)
    assert work(tmp_path, seed=1)[0] == list(range(step + 1, STEPS + 1))


def test_a_damaged_state_is_left_out_by_name(tmp_path, caplog):
    interrupt(tmp_path, 3)
    biggest = max((tmp_path / unfinished.FOLDER).rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    biggest.write_bytes(biggest.read_bytes()[:-1])
    assert work(tmp_path)[0] == list(range(1, STEPS + 1))
    assert biggest.name in caplog.text


def test_it_is_kept_as_often_as_it_is_time_and_once(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path / unfinished.FOLDER / "mine")
    work(tmp_path)
    assert store.steps() == []
    monkeypatch.setattr(unfinished, "EVERY", 0.0)
    work(tmp_path)
    assert store.steps() == [STEPS]
    assert unfinished.Unfinished(tmp_path, "mine", {}).resume({"x": jnp.ones(2)})[0] == STEPS


def test_seconds_of_earlier_starts_count(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(unfinished.time, "monotonic", lambda: now[0])
    first = Unfinished(tmp_path, "mine", {})
    now[0] += 40.0
    first.after(1, {"x": jnp.ones(2)})
    second = Unfinished(tmp_path, "mine", {})
    second.resume({"x": jnp.ones(2)})
    now[0] += 2.0
    assert second.seconds == 42.0
    first.__exit__()


def test_once_all_is_done_it_is_forgotten(tmp_path):
    interrupt(tmp_path, 3)
    forget_unfinished(tmp_path)
    forget_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []
