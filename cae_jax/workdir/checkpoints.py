"""Checkpoints that say whether they are whole.

Orbax writes the arrays; it restores a file with a flipped byte without complaint, and takes an empty folder for a
checkpoint. So every checkpoint gets a manifest of SHA-256 sums, written last: without it a checkpoint does not count,
and restoring compares every file with it.
"""

import contextlib
import hashlib
import json
import logging
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath

from cae_jax.drafts import DRAFT
from cae_jax.errors import UserError
from cae_jax.workdir.files import write_whole

MANIFEST = "manifest.json"
KEPT = 2  # newest validated checkpoints, besides the best one
log = logging.getLogger(__name__)


class CheckpointError(UserError, RuntimeError):
    """A checkpoint cannot be written, or none can be read; the message names the folder and what is wrong."""


def _is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def _unwrap_keys(tree: Any) -> Any:
    def unwrap(x: Any) -> Any:
        if not _is_key(x):
            return x
        if not isinstance(x, jax.ShapeDtypeStruct):
            return jax.random.key_data(x)
        data = jax.eval_shape(jax.random.key_data, x)
        return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=x.sharding)

    return jax.tree.map(unwrap, tree)


def _wrap_key(like: Any, data: jax.Array) -> jax.Array:
    if not _is_key(like):
        return data
    with_shape = jnp.zeros(0, like.dtype) if isinstance(like, jax.ShapeDtypeStruct) else like
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(with_shape))


def file_digest(path: epath.PathLike) -> str:
    """The SHA-256 of a file's contents."""
    digest = hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _checkpointer() -> ocp.StandardCheckpointer:
    """Orbax's, which does not wait for other processes: one writes what is whole on all of them, and each reads."""
    if jax.process_count() == 1:
        return ocp.StandardCheckpointer()
    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(own, {own}, f"process_{own}")
    return ocp.StandardCheckpointer(multiprocessing_options=options)


def _target(like: Any) -> jax.ShapeDtypeStruct:
    """What a leaf is restored to: on its own devices or, without any, on the default one, wherever it was before."""
    shape: Any = ocp.utils.to_shape_dtype_struct(like)
    if shape.sharding is not None:
        return shape
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=jnp.zeros(()).sharding)


def _files(folder: epath.Path, prefix: str = "") -> dict[str, epath.Path]:
    found: dict[str, epath.Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            found |= _files(path, f"{prefix}{path.name}/")
        elif prefix or not (path.name == MANIFEST or path.match(f"{MANIFEST}*{DRAFT}")):
            found[prefix + path.name] = path
    return found


def _remove(folder: epath.Path) -> None:
    """Deletes a checkpoint, its manifest first: from then on it does not count, even if this is cut off."""
    (folder / MANIFEST).unlink(missing_ok=True)
    folder.rmtree()


def _seal(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def save_trees(folder: epath.PathLike, trees: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes trees of arrays and a few facts to a folder; what was there before is replaced.

    Args:
        folder: folder of this checkpoint; its manifest appears last.
        trees: trees of arrays by name; a typed PRNG key is stored as its data.
        facts: JSON values kept in the manifest.

    Raises:
        CheckpointError: if it cannot be written whole (a full disk, say). What was written is removed.
    """
    folder = epath.Path(folder).resolve()
    try:
        if folder.exists():
            _remove(folder)
        folder.mkdir(parents=True)
        with _checkpointer() as checkpointer:
            for name, tree in trees.items():
                checkpointer.save(folder / name, jax.device_get(_unwrap_keys(tree)))
        record = {"facts": dict(facts), "files": {name: file_digest(path) for name, path in _files(folder).items()}}
        (folder / MANIFEST).write_text(json.dumps(record | {"seal": _seal(record)}, indent=1))
    except Exception as error:
        with contextlib.suppress(OSError):  # where nothing can be written, nothing can be deleted either
            folder.rmtree(missing_ok=True)
        raise CheckpointError(f"the checkpoint {folder} could not be written: {error}") from error


def read_facts(folder: epath.PathLike) -> dict[str, Any]:
    """Checks every file of a checkpoint against its manifest and returns its facts.

    Raises:
        CheckpointError: naming the file that is missing, added or changed.
    """
    folder = epath.Path(folder)
    try:
        record = json.loads((folder / MANIFEST).read_text())
        seal = record.pop("seal")
        intact = seal == _seal(record)
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} is half-written: it has no {MANIFEST}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / MANIFEST} is damaged: {error}") from error
    if not intact:
        raise CheckpointError(f"{folder / MANIFEST} is damaged: its contents do not match their seal")
    try:
        present = _files(folder)
        digests = {name: file_digest(path) for name, path in present.items() if name in record["files"]}
    except FileNotFoundError as error:  # a run that goes on deletes checkpoints that it needs no more
        raise CheckpointError(f"{folder} was deleted while it was read") from error
    for name in sorted(present.keys() ^ record["files"].keys()):
        raise CheckpointError(f"{folder} is damaged: {name} is {'missing' if name not in present else 'not its own'}")
    for name, digest in record["files"].items():
        if digests[name] != digest:
            raise CheckpointError(f"{folder} is damaged: the contents of {name} have changed since it was written")
    return record["facts"]


def change_facts(folder: epath.PathLike, facts: Mapping[str, Any]) -> None:
    """Gives a whole checkpoint other facts, in one stroke.

    Raises:
        CheckpointError: if it is not whole, or cannot be written; the old facts stay.
    """
    read_facts(folder)
    manifest = pathlib.Path(folder) / MANIFEST
    try:
        record = json.loads(manifest.read_text()) | {"facts": dict(facts)}
        del record["seal"]
        write_whole(manifest, json.dumps(record | {"seal": _seal(record)}, indent=1))
    except OSError as error:
        raise CheckpointError(f"{manifest} could not be written: {error}") from error


def read_seal(folder: epath.PathLike) -> str:
    """A checkpoint's fingerprint: that of its facts and of every file's contents, as `save_trees` wrote them."""
    return json.loads((epath.Path(folder) / MANIFEST).read_text())["seal"]


def load_tree(folder: epath.PathLike, name: str, like: Any) -> Any:
    """Reads one tree of a checkpoint that `read_facts` found whole.

    Args:
        folder: folder of the checkpoint.
        name: name of the tree.
        like: arrays or shapes of the tree's structure; shardings and PRNG key types are taken from it. Shapes without
            a sharding are restored on one device.

    Raises:
        CheckpointError: if the tree has another structure.
    """
    path = epath.Path(folder).resolve() / name
    try:
        with _checkpointer() as checkpointer:
            tree = checkpointer.restore(path, jax.tree.map(_target, _unwrap_keys(like)))
    except (ValueError, TypeError, KeyError, FileNotFoundError) as error:
        raise CheckpointError(f"{path} does not fit this model: {error}") from error
    return jax.tree.map(_wrap_key, like, tree)


def load_part(folder: epath.PathLike, name: str, like: Mapping[str, Any]) -> Any:
    """Reads some branches of a tree of a checkpoint that `read_facts` found whole; the others may be whatever they are.

    Args:
        folder: folder of the checkpoint.
        name: name of the tree.
        like: the branches by name, as `load_tree` takes a whole tree; without PRNG keys.

    Raises:
        CheckpointError: if a branch is not there, or has another structure.
    """
    path = epath.Path(folder).resolve() / name
    wanted = jax.tree.map(_target, dict(like))
    how = ocp.args.PyTreeRestore(
        wanted, restore_args=ocp.checkpoint_utils.construct_restore_args(wanted), partial_restore=True
    )
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.restore(path, args=how)
    except (ValueError, TypeError, KeyError, FileNotFoundError) as error:
        raise CheckpointError(f"{path} does not fit this model: {error}") from error
    absent = [
        jax.tree_util.keystr(place)
        for place, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if isinstance(leaf, jax.ShapeDtypeStruct)
    ]
    if absent:
        raise CheckpointError(f"{path} does not fit this model: it has no {', '.join(absent)}")
    return tree


def _best(whole: Mapping[int, Mapping[str, Any]]) -> int | None:
    """Of whole checkpoints' facts, the step of the best score; without any, the newest."""
    return max(whole, key=lambda step: (whole[step].get("score", -math.inf), step), default=None)


class CheckpointStore:
    """The checkpoints of a run, one folder a step: the newest ones, and the best by validation.

    Facts with a `score` are those of a checkpoint that was validated. The others are there to go on from.

    Attributes:
        folder: folder that holds the checkpoints.
    """

    def __init__(self, folder: epath.PathLike):
        self.folder = epath.Path(folder)

    def _path(self, step: int) -> epath.Path:
        return self.folder / f"{step:08d}"

    def steps(self) -> list[int]:
        """Steps with a folder, whole or not, in ascending order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def whole(self) -> dict[int, dict[str, Any]]:
        """Facts of the checkpoints that are whole, by step. The others are logged by name."""
        facts = {}
        for step in self.steps():
            try:
                facts[step] = read_facts(self._path(step))
            except CheckpointError as error:
                log.warning("skipping a checkpoint: %s", error)
        return facts

    def facts(self, step: int) -> dict[str, Any]:
        """Facts of one step; raises `CheckpointError` if it is not whole."""
        return read_facts(self._path(step))

    def save(self, step: int, trees: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Saves a step, then deletes those that are neither new nor the best.

        Args:
            step: step whose state it is.
            trees: see `save_trees`.
            facts: JSON values, among them the validation `score`, if there is one; higher is better.

        Raises:
            CheckpointError: see `save_trees`; earlier checkpoints stay.
        """
        try:
            save_trees(self._path(step), trees, facts)
        except CheckpointError as error:
            raise CheckpointError(f"{error}. Earlier checkpoints, not touched: {self.steps() or 'none'}") from error
        self._tidy()

    def change_facts(self, step: int, facts: Mapping[str, Any]) -> None:
        """Gives a step other facts, see `change_facts`, then deletes as `save` does."""
        change_facts(self._path(step), facts)
        self._tidy()

    def _tidy(self) -> None:
        """Deletes all but the newest one, the newest of those that were validated, and the best."""
        whole = self.whole()
        validated = [step for step, facts in sorted(whole.items()) if "score" in facts]
        keep = {max(whole), *validated[-KEPT:], _best(whole)}
        for old in set(self.steps()) - keep:
            _remove(self._path(old))

    def sweep(self) -> None:
        """Deletes what a run that was killed left half-written or half-deleted; damaged checkpoints stay."""
        for step in self.steps():
            if not (self._path(step) / MANIFEST).exists():
                log.warning("deleting the half-written checkpoint %s", self._path(step))
                self._path(step).rmtree()

    def clear(self) -> None:
        """Deletes all checkpoints."""
        for step in self.steps():
            _remove(self._path(step))

    def newest(self) -> int | None:
        """The last whole step, or None."""
        return max(self.whole(), default=None)

    def best(self) -> int | None:
        """The whole step of the best validation score, the later one of two equals; without scores the newest."""
        return _best(self.whole())

    def seal(self, step: int) -> str:
        """The fingerprint of a whole step."""
        return read_seal(self._path(step))

    def load(self, step: int, name: str, like: Any) -> Any:
        """Reads one tree of a whole step, see `load_tree`."""
        return load_tree(self._path(step), name, like)

    def load_part(self, step: int, name: str, like: Mapping[str, Any]) -> Any:
        """Reads some branches of a tree of a whole step, see `load_part`."""
        return load_part(self._path(step), name, like)
