"""Checkpoints: whole ones come back as they were, damaged ones are found out, failing writes harm nothing else."""

import errno
import gc
import logging
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from cae_jax.parallel.sharding import data_mesh, replicated
from cae_jax.workdir import checkpoints
from cae_jax.workdir.checkpoints import (
    MANIFEST,
    CheckpointError,
    CheckpointStore,
    load_tree,
    read_facts,
    save_trees,
)


def make_tree(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "step": jnp.asarray(7 + seed, jnp.int32),
        "key": jax.random.key(seed),
        "params": {"kernel": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32), "half": jnp.ones(4, jnp.bfloat16)},
    }


def empty_like(tree):
    return jax.tree.map(lambda x: jax.random.key(99) if x.dtype == jax.random.key(0).dtype else jnp.zeros_like(x), tree)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder that tests may change, if they put it back as it was."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoint"
    save_trees(folder, {"state": make_tree()}, {"step": 7, "score": 0.5})
    return folder


def files_of(folder):
    return sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())


def test_a_tree_comes_back_as_it_was_typed_key_included(saved):
    tree = make_tree()
    loaded = load_tree(saved, "state", empty_like(tree))
    assert jax.tree.structure(loaded) == jax.tree.structure(tree)
    assert loaded["key"].dtype == tree["key"].dtype
    np.testing.assert_array_equal(jax.random.uniform(loaded["key"]), jax.random.uniform(jax.random.key(0)))
    for name in ("kernel", "half"):
        assert loaded["params"][name].dtype == tree["params"][name].dtype
        np.testing.assert_array_equal(loaded["params"][name], tree["params"][name])
    assert int(loaded["step"]) == 7


def test_a_typed_key_comes_back_where_shapes_are_handed_in(saved):
    loaded = load_tree(saved, "state", jax.eval_shape(make_tree))
    assert loaded["key"].dtype == jax.random.key(0).dtype


def test_facts_come_back(saved):
    assert read_facts(saved) == {"step": 7, "score": 0.5}


def test_any_changed_byte_of_any_file_is_found_out(saved):
    rng = np.random.default_rng(0)
    files = files_of(saved)
    assert len(files) > 2
    for file in files:
        whole = file.read_bytes()
        for position in rng.choice(len(whole), min(len(whole), 20), replace=False) if whole else ():
            damaged = bytearray(whole)
            damaged[position] ^= 1 << int(rng.integers(8))
            file.write_bytes(damaged)
            with pytest.raises(CheckpointError, match="damaged"):
                read_facts(saved)
        file.write_bytes(whole)
    read_facts(saved)


def test_any_changed_byte_of_the_manifest_is_found_out(saved):
    manifest = saved / MANIFEST
    whole = manifest.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        manifest.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
            read_facts(saved)
    manifest.write_bytes(whole)
    read_facts(saved)


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{}", '{"facts": {}'])
def test_a_manifest_of_other_contents_is_damaged(saved, text):
    manifest = saved / MANIFEST
    whole = manifest.read_bytes()
    manifest.write_text(text)
    try:
        with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
            read_facts(saved)
    finally:
        manifest.write_bytes(whole)


def test_a_truncated_file_is_found_out(saved):
    for file in files_of(saved):
        whole = file.read_bytes()
        if whole:
            file.write_bytes(whole[:-1])
            with pytest.raises(CheckpointError, match="damaged"):
                read_facts(saved)
            file.write_bytes(whole)


def test_a_missing_manifest_means_half_written(saved):
    manifest = saved / MANIFEST
    whole = manifest.read_bytes()
    manifest.unlink()
    with pytest.raises(CheckpointError, match="half-written"):
        read_facts(saved)
    manifest.write_bytes(whole)


def test_missing_and_added_files_are_named(saved):
    file = next(path for path in files_of(saved) if path.name != MANIFEST)
    whole = file.read_bytes()
    file.unlink()
    with pytest.raises(CheckpointError, match=f"{file.name} is missing"):
        read_facts(saved)
    file.write_bytes(whole)
    (saved / "state" / "added").write_text("x")
    with pytest.raises(CheckpointError, match="state/added is not its own"):
        read_facts(saved)
    (saved / "state" / "added").unlink()
    read_facts(saved)


def test_a_folder_that_does_not_exist_is_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError):
        read_facts(tmp_path / "nowhere")


# Orbax abandons the reads that go on beside the one that failed; they complain when they are collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("change", ["shape", "missing", "extra", "renamed", "other tree"])
def test_a_tree_of_another_structure_is_refused(saved, change):
    like, name = empty_like(make_tree()), "state"
    if change == "shape":
        like["params"]["kernel"] = jnp.zeros((4, 2))
    elif change == "missing":
        del like["params"]["half"]
    elif change == "extra":
        like["params"]["bias"] = jnp.zeros(2)
    elif change == "renamed":
        like["params"]["core"] = like["params"].pop("kernel")
    else:
        name = "ema"
    try:
        load_tree(saved, name, like)
    except CheckpointError as error:
        message = str(error)  # and the error, which holds on to those reads, is let go
    else:
        message = "nothing was raised"
    gc.collect()
    assert "does not fit" in message


@pytest.fixture(scope="module")
def full_store(tmp_path_factory):
    """A store that five steps were saved to, the second one the best; tests put back what they change."""
    store = CheckpointStore(tmp_path_factory.mktemp("run") / "checkpoints")
    for step, score in ((10, 0.1), (20, 0.9), (30, 0.3), (40, 0.2), (50, 0.4)):
        store.save(step, {"ema": {"w": jnp.full(2, float(step))}}, {"step": step, "score": score})
    return store


def damage(store, step):
    """Changes a byte of a step's biggest file and returns how to undo that."""
    file = max(files_of(store.folder / f"{step:08d}" / "ema"), key=lambda path: path.stat().st_size)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    return lambda: file.write_bytes(whole)


def test_an_empty_store_has_nothing(tmp_path):
    store = CheckpointStore(tmp_path / "checkpoints")
    assert store.steps() == []
    assert store.newest() is None
    assert store.best() is None


def test_the_two_newest_and_the_best_are_kept(full_store):
    assert full_store.steps() == [20, 40, 50]
    assert full_store.newest() == 50
    assert full_store.best() == 20
    assert full_store.facts(20) == {"step": 20, "score": 0.9}
    np.testing.assert_array_equal(full_store.load(20, "ema", {"w": jnp.zeros(2)})["w"], [20.0, 20.0])


@pytest.mark.parametrize(("step", "newest", "best"), [(50, 40, 20), (20, 50, 50), (40, 50, 20)])
def test_damaged_checkpoints_are_skipped_by_name(full_store, caplog, step, newest, best):
    caplog.set_level(logging.WARNING)
    undo = damage(full_store, step)
    try:
        assert full_store.newest() == newest
        assert full_store.best() == best
        assert f"{step:08d}" in caplog.text
        assert "have changed" in caplog.text
        with pytest.raises(CheckpointError):
            full_store.facts(step)
    finally:
        undo()


def test_an_empty_folder_is_not_a_checkpoint(full_store, caplog):
    folder = full_store.folder / "00000099"
    folder.mkdir()
    assert full_store.newest() == 50
    assert "00000099 is half-written" in caplog.text
    folder.rmdir()


@pytest.mark.parametrize("moment", ["first tree", "second tree", "manifest"])
def test_a_failing_write_leaves_nothing_half_done_and_earlier_checkpoints_alone(full_store, monkeypatch, moment):
    real, calls = ocp.StandardCheckpointer.save, []

    def save(self, *arguments, **options):
        calls.append(1)
        if len(calls) == {"first tree": 1, "second tree": 2}.get(moment):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, *arguments, **options)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", save)
    if moment == "manifest":
        monkeypatch.setattr(checkpoints, "_seal", full)
    tree = {"w": jnp.zeros(2)}
    with pytest.raises(CheckpointError, match=r"00000060 could not be written: .*No space left.*\[20, 40, 50\]"):
        full_store.save(60, {"state": tree, "ema": tree}, {"step": 60, "score": 0.99})
    monkeypatch.undo()
    assert full_store.steps() == [20, 40, 50]
    assert sorted(full_store.whole()) == [20, 40, 50]


def test_of_equal_scores_the_later_step_is_best(tmp_path):
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        store.save(step, {"ema": {"w": jnp.zeros(1)}}, {"score": 0.5})
    assert store.best() == 2


def test_saving_a_step_again_replaces_it(tmp_path):
    store = CheckpointStore(tmp_path)
    for value in (1.0, 2.0):
        store.save(5, {"ema": {"w": jnp.full(1, value)}}, {"score": value})
    assert store.facts(5) == {"score": 2.0}
    assert float(store.load(5, "ema", {"w": jnp.zeros(1)})["w"][0]) == 2.0


def test_a_checkpoint_without_a_score_is_newest_but_the_best_only_of_its_like(tmp_path):
    store = CheckpointStore(tmp_path)
    tree = {"ema": {"w": jnp.zeros(1)}}
    store.save(3, tree, {"validated": False})
    assert (store.newest(), store.best()) == (3, 3)
    store.save(5, tree, {"validated": False})
    assert store.steps() == [5]
    for step, score in ((10, -0.9), (20, 0.0), (30, -0.5)):
        store.save(step, tree, {"score": score})
    store.save(33, tree, {"validated": False})
    assert (store.newest(), store.best()) == (33, 20)
    assert store.steps() == [20, 30, 33]
    store.save(40, tree, {"score": -0.6})
    assert store.steps() == [20, 30, 40]


def test_a_checkpoint_that_a_run_deletes_while_it_is_read_does_not_count(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path)
    store.save(5, {"ema": {"w": jnp.zeros(1)}}, {"score": 0.5})

    def gone(path):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(checkpoints, "file_digest", gone)
    with pytest.raises(CheckpointError, match="00000005 was deleted while it was read"):
        store.facts(5)
    assert store.best() is None


def test_facts_are_changed_in_one_stroke_and_count_at_once(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path)
    for step, score in ((10, 0.5), (20, 0.3), (30, 0.2)):
        store.save(step, {"ema": {"w": jnp.full(1, float(step))}}, {"score": score})
    store.save(40, {"ema": {"w": jnp.full(1, 40.0)}}, {"validated": False})
    before = store.seal(40)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_whole", full)
    with pytest.raises(CheckpointError, match=r"manifest\.json could not be written: .*No space left"):
        store.change_facts(40, {"score": 0.9})
    assert store.facts(40) == {"validated": False}
    monkeypatch.undo()
    (tmp_path / "00000040" / f"{MANIFEST}.draft").write_text("of a process that was killed")
    store.change_facts(40, {"score": 0.9})
    assert store.facts(40) == {"score": 0.9}
    assert store.seal(40) != before
    assert store.best() == 40
    assert store.steps() == [30, 40]
    assert float(store.load(40, "ema", {"w": jnp.zeros(1)})["w"][0]) == 40.0
    damage(store, 40)
    with pytest.raises(CheckpointError, match="have changed"):
        store.change_facts(40, {"score": 1.0})


def test_what_a_killed_run_left_is_swept_and_damaged_checkpoints_are_not(tmp_path, caplog):
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        store.save(step, {"ema": {"w": jnp.zeros(2)}}, {"score": 0.0})
    (tmp_path / "00000001" / "stray").write_text("")
    (tmp_path / "00000003" / "state").mkdir(parents=True)
    store.sweep()
    assert store.steps() == [1, 2]
    assert "00000003" in caplog.text
    assert "00000001" not in caplog.text


@pytest.mark.many_devices
def test_what_many_devices_saved_is_read_on_one(tmp_path):
    everywhere = replicated(data_mesh())
    save_trees(tmp_path / "saved", {"ema": {"w": jax.device_put(jnp.ones(3), everywhere)}}, {})
    found = load_tree(tmp_path / "saved", "ema", {"w": jax.ShapeDtypeStruct((3,), jnp.float32)})["w"]
    assert found.devices() == {jax.devices()[0]}
    np.testing.assert_array_equal(found, np.ones(3))
    with jax.default_device(jax.devices()[5]):
        found = load_tree(tmp_path / "saved", "ema", {"w": jax.ShapeDtypeStruct((3,), jnp.float32)})["w"]
    assert found.devices() == {jax.devices()[5]}


@pytest.mark.many_devices
def test_every_leaf_comes_back_on_the_devices_of_its_shape(tmp_path):
    init = jax.jit(make_tree, out_shardings=replicated(data_mesh()))
    save_trees(tmp_path / "saved", {"state": init()}, {})
    found = load_tree(tmp_path / "saved", "state", init.eval_shape())
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(found)} == {jax.device_count()}
    assert jax.device_count() == 8
