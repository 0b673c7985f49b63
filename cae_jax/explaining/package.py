"""A trained explainer as one folder that can be given away: weights, config, code table, metrics, a model card.

Arrays are safetensors and `.npz` without pickle; `package.json`, written last, has the SHA-256 of every file.
"""

import json
import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from cae_jax.counterfactual import CodeTable
from cae_jax.explaining.code_tables import FILE as CODE_TABLE
from cae_jax.explaining.code_tables import keep_code_table
from cae_jax.explaining.model_card import model_card
from cae_jax.training.checkpoints import CheckpointError, file_digest
from cae_jax.training.classifier_store import LoadedClassifier, classifier_of, load_named
from cae_jax.training.files import write_whole
from cae_jax.training.run_record import FILE as RECORD
from cae_jax.training.run_record import RunRecord, read_record, write_record

MANIFEST = "package.json"
MODEL, CLASSIFIER, METRICS, CARD = "model.safetensors", "classifier.safetensors", "metrics.json", "README.md"
VERSION = 1


class Parts(NamedTuple):
    """What an `Explainer` is made of.

    Attributes:
        record: of the run.
        step: of the checkpoint.
        params: of the generator.
        classifier: that is explained.
        fingerprint: of checkpoint and classifier.
    """

    record: RunRecord
    step: int
    params: Any
    classifier: LoadedClassifier
    fingerprint: str


def is_package(folder: pathlib.Path) -> bool:
    """Whether a folder is a package."""
    return (folder / MANIFEST).is_file()


def _write_tensors(path: pathlib.Path, params: Any) -> None:
    flat = flatten_dict(jax.device_get(params), sep="/")
    safetensors.numpy.save_file({name: np.ascontiguousarray(array) for name, array in flat.items()}, path)


def _read_tensors(path: pathlib.Path) -> Any:
    try:
        return unflatten_dict(safetensors.numpy.load_file(path), sep="/")
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def write_package(out: pathlib.Path, parts: Parts, table: CodeTable, metrics: pathlib.Path) -> None:
    """Writes a package; see `Explainer.load` for the way back.

    A classifier that was trained here goes along. One of another framework is named, with its fingerprint, and must be
    where the config says, or in the package's folder, wherever the package is used.

    Args:
        out: a new or empty folder.
        parts: of the explainer.
        table: class codes of the training images.
        metrics: the run's `metrics.json`, if it is there.

    Raises:
        FileExistsError: if the folder has something in it.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    scores = {}
    if metrics.exists():
        shutil.copyfile(metrics, out / METRICS)
        scores = json.loads(metrics.read_text())
    classifier = parts.classifier
    write_record(out, parts.record)
    _write_tensors(out / MODEL, parts.params)
    if classifier.params is not None:
        _write_tensors(out / CLASSIFIER, classifier.params)
    keep_code_table(out, table, parts.fingerprint)
    (out / CARD).write_text(model_card(parts.record, parts.step, classifier.facts, scores))
    files = sorted(path.name for path in out.iterdir())
    manifest = {
        "format": "cae_jax package",
        "version": VERSION,
        "step": parts.step,
        "fingerprint": parts.fingerprint,
        "classifier": {"facts": classifier.facts, "fingerprint": classifier.fingerprint},
        "files": {name: file_digest(out / name) for name in files},
    }
    write_whole(out / MANIFEST, json.dumps(manifest, indent=1))


def _check(folder: pathlib.Path) -> dict[str, Any]:
    """Checks every file against the manifest and returns it."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files, version = manifest["files"], manifest["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / MANIFEST} is damaged: {error}") from error
    if version != VERSION:
        raise CheckpointError(f"{folder} is a package of version {version}; this cae_jax reads version {VERSION}")
    for name in (RECORD, MODEL, CODE_TABLE):
        if name not in files:
            raise CheckpointError(f"{folder / MANIFEST} is damaged: it lists no {name}")
    for name, digest in files.items():
        if pathlib.PurePath(name).name != name:
            raise CheckpointError(f"{folder / MANIFEST} is damaged: {name!r} is no file of the package")
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is damaged: {name} is missing")
        if file_digest(folder / name) != digest:
            raise CheckpointError(f"{folder} is damaged: the contents of {name} are not those that were packaged")
    return manifest


def _classifier(folder: pathlib.Path, record: RunRecord, entry: dict[str, Any]) -> LoadedClassifier:
    if (folder / CLASSIFIER).is_file():
        return classifier_of(_read_tensors(folder / CLASSIFIER), entry["facts"], entry["fingerprint"])
    settings = record.config.classifier.copy_and_resolve_references()
    for key in ("path", "weights"):
        beside = folder / pathlib.PurePath(settings[key]).name
        if settings[key] and not pathlib.Path(settings[key]).exists() and beside.is_file():
            settings[key] = str(beside)
    loaded = load_named(settings, folder, "classifier")
    if loaded.fingerprint != entry["fingerprint"]:
        raise CheckpointError(
            f"the classifier {settings.path} is not the one that {folder} was made for: its contents have changed"
        )
    return loaded


def read_package(folder: pathlib.Path) -> Parts:
    """Reads a folder that `write_package` wrote.

    Raises:
        CheckpointError: naming the file that is missing or changed.
        ConfigError: if the record is damaged, or the classifier is of another framework and is not where it is said.
    """
    record = read_record(folder)
    manifest = _check(folder)
    classifier = _classifier(folder, record, manifest["classifier"])
    return Parts(record, manifest["step"], _read_tensors(folder / MODEL), classifier, manifest["fingerprint"])
