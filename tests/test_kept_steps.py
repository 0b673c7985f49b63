"""The traced step on disk: when it is taken from there, when not, and that it is the same."""

import hashlib
import os

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.training import kept_steps
from cae_jax.training.kept_steps import KeptSteps
from cae_jax.training.sharding import data_mesh, replicated, split_batches


@flax.struct.dataclass
class State:
    """A small one."""

    step: jax.Array
    key: jax.Array
    weights: dict[str, jax.Array]


@pytest.fixture
def folder(tmp_path):
    """JAX's cache, for a while."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture
def start():
    """A start of a program: returns the state after two calls, the terms, and how often the steps were traced."""

    def start(rows=4, constants=None, **facts):
        traced = []

        def steps(state, batches):
            traced.append(1)
            noise = jax.random.normal(jax.random.fold_in(state.key, state.step), ())
            weights = {"w": state.weights["w"] - 0.1 * batches["labels"].mean() + noise}
            return State(state.step + 1, state.key, weights), {"total": weights["w"].sum()[None]}

        mesh = data_mesh()
        compiled = jax.jit(steps, donate_argnums=0, out_shardings=replicated(mesh))
        state = State(jnp.zeros((), jnp.int32), jax.random.key(3), {"w": jnp.arange(3.0)})
        state = jax.device_put(state, replicated(mesh))
        kept = KeptSteps(compiled, mesh, facts, constants)
        batches = split_batches(mesh, {"labels": np.ones((1, 2 * rows), np.float32)})
        for _ in range(2):
            state, terms = kept(state, batches)
        text = kept.lower(state, batches).compile().as_text()
        assert "HloModule" in text
        return jax.device_get(state.replace(key=jax.random.key_data(state.key))), terms, len(traced)

    return start


@pytest.mark.many_devices
def test_many_devices_are_served_from_disk_too(folder, start):
    one, two = start(), start()
    assert (one[2], two[2]) == (1, 0)
    jax.tree.map(np.testing.assert_array_equal, one[:2], two[:2])
    assert len(two[1]["total"].devices()) == jax.device_count() == 8


def test_a_second_start_does_not_trace_and_computes_the_same(folder, start):
    one, two = start(), start()
    assert (one[2], two[2]) == (1, 0)
    jax.tree.map(np.testing.assert_array_equal, one[:2], two[:2])
    assert int(two[0].step) == 2
    assert len(list(folder.glob("*.stablehlo"))) == 1


def test_other_settings_shapes_options_or_code_are_traced_for_themselves(folder, start, monkeypatch):
    assert start(classifier="a")[2] == 1
    assert start(classifier="b")[2] == 1
    assert start(rows=8, classifier="a")[2] == 1
    for constants in ({"w": np.zeros(2)}, {"w": np.ones(2)}, {"v": np.ones(2)}, {"w": np.ones(2, np.float32)}):
        assert [start(classifier="a", constants=constants)[2] for _ in range(2)] == [1, 0]
    with jax.default_matmul_precision("highest"):
        assert start(classifier="a")[2] == 1
    monkeypatch.setattr(kept_steps, "_source_digest", lambda: "of other code")
    assert start(classifier="a")[2] == 1
    assert start(classifier="a")[2] == 0


def test_code_has_another_digest_once_a_line_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_steps, "PACKAGE", tmp_path)
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "one.py").write_text("x = 1\n")
    before = kept_steps._source_digest()
    assert before == kept_steps._source_digest()
    (tmp_path / "part" / "one.py").write_text("x = 2\n")
    assert before != kept_steps._source_digest()


def test_only_the_newest_are_kept(folder, start, monkeypatch):
    monkeypatch.setattr(kept_steps, "KEPT", 2)
    for i, classifier in enumerate("abc"):
        start(classifier=classifier)
        for path in folder.glob("*.stablehlo"):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10 * i - 1))
    assert len(list(folder.glob("*.stablehlo"))) == 2
    assert [start(classifier=classifier)[2] for classifier in "cb"] == [0, 0]


def test_a_damaged_file_is_made_anew(folder, start, caplog):
    start()
    (path,) = folder.glob("*.stablehlo")
    contents = path.read_bytes()
    path.write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
    assert start()[2] == 1
    assert str(path) in caplog.text
    made_anew = path.read_bytes()
    assert hashlib.sha256(made_anew[kept_steps.DIGEST :]).digest() == made_anew[: kept_steps.DIGEST]
    assert start()[2] == 0


def test_where_nothing_can_be_written_the_run_goes_on(folder, start, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_steps, "write_whole", full)
    assert start()[2] == 1
    assert "No space left" in caplog.text
    assert not list(folder.iterdir())


@pytest.mark.parametrize("place", [None, "gs://bucket/cache"])
def test_without_a_local_cache_steps_are_called_as_they_are(folder, start, place):
    jax.config.update("jax_compilation_cache_dir", place)
    assert start()[2] == 1
    assert start()[2] == 1
    assert not list(folder.iterdir())
