"""Data sets that TFDS has prepared as ArrayRecord."""

import json
import logging
import pathlib
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from cae_jax.data.dataset import Dataset, fingerprint
from cae_jax.data.image_files import AS_THEY_ARE, Format
from cae_jax.data.listing import class_order
from cae_jax.data.sources import RecordSource, held_if_small, settled
from cae_jax.data.splits import SHARES, SPLITS, draw_rows, splits_of, stratified_split
from cae_jax.types import ImageSource

FEATURES = "features.json"
OF_TFDS = "tensorflow_datasets."
SKETCHED = 64  # images of a split that it is known by
log = logging.getLogger(__name__)


def _named_classes(features: Any) -> set[str]:
    """Names of the Python classes that a description of features names, at any depth."""
    if isinstance(features, list):
        return {name for inner in features for name in _named_classes(inner)}
    if not isinstance(features, dict):
        return set()
    own = {features[key] for key in ("type", "pythonClassName") if isinstance(features.get(key), str)}
    return own.union(*(_named_classes(inner) for inner in features.values()))


def refuse_foreign_features(folder: pathlib.Path) -> None:
    """Refuses a prepared data set whose features are of other packages: TFDS would import, and so run, their modules.

    Args:
        folder: folder with a `features.json` in it or somewhere below it, or none.

    Raises:
        ValueError: naming the file and the class.
    """
    for path in sorted(folder.rglob(FEATURES)):
        try:
            names = _named_classes(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        if foreign := sorted(name for name in names if "." in name and not name.startswith(OF_TFDS)):
            raise ValueError(
                f"{path} names {foreign[0]}, which is code of another package and is not run for a data set; prepare "
                f"it with TFDS's own features, 'image' and 'label'"
            )


def _raw_labels(builder: Any, split: str) -> list[Any]:
    """A split's labels, as they are stored; images are not decoded."""
    records = builder.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    return [records[row]["label"] for row in range(len(records))]


def _numbered(builder: Any, name: str, raw: dict[str, list[Any]]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels as numbers, and the class names.

    Raises:
        ValueError: for labels that are neither texts nor whole numbers from 0, one for each image.
    """
    feature = builder.info.features["label"]
    if all(isinstance(label, (bytes, str)) for labels in raw.values() for label in labels):
        texts = {
            split: [label.decode(errors="replace") if isinstance(label, bytes) else label for label in labels]
            for split, labels in raw.items()
        }
        names = class_order((text for labels in texts.values() for text in labels), (), name)
        number = {text: label for label, text in enumerate(names)}
        return {s: np.asarray([number[text] for text in labels], np.int32) for s, labels in texts.items()}, names
    labels = {}
    for split, own in raw.items():
        values = np.asarray(own)
        if values.ndim != 1 or values.dtype.kind not in "iufb" or (values != np.floor(values)).any():
            raise ValueError(
                f"{name} has labels {feature} in {split}; one whole number or text for each image is needed"
            )
        if values.min() < 0:
            raise ValueError(f"{name}: images of its split {split} have the label {values.min()}, which is none")
        labels[split] = values.astype(np.int32)
    if hasattr(feature, "names"):
        return labels, tuple(feature.names)
    most = max(int(values.max()) for values in labels.values())
    return labels, tuple(str(label) for label in range(most + 1))


def _drawn(labels: np.ndarray, missing: list[str], class_names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Rows of a training split by the splits that are missing, and those left to train.

    A validation split that alone is missing is drawn as it always was, where that gives it an image of every class.
    """
    size = max(len(labels) // 10, 1)
    present, counts = np.unique(labels, return_counts=True)
    if missing == ["validation"] and counts.min() > 1 and len(present) <= min(size, len(labels) - size):
        rest, rows = stratified_split(labels, size)
        if set(labels[rows]) == set(present):
            return {"train": rest, "validation": rows}
    return draw_rows(labels, missing, class_names)


def _sketch(source: ImageSource) -> bytes:
    """Some images of a split, all over it: as pixels, since the same pixels may stand in other bytes elsewhere."""
    return source.take(np.unique(np.linspace(0, len(source) - 1, SKETCHED).astype(int))).tobytes()


def read_prepared(builder: Any, name: str, wanted: Format = AS_THEY_ARE) -> Dataset:
    """Opens a prepared data set; a split of validation or testing that it lacks is drawn out of its training split.

    Args:
        builder: builder of TFDS whose data set is prepared, with features `image` and `label`.
        name: name of the data set.
        wanted: size and channels that images are brought to.

    Raises:
        ValueError: naming the feature or split that is missing or of another kind.
    """
    features: Any = builder.info.features  # typed by TFDS as the base class, which has no keys
    if features is None or "image" not in features or "label" not in features:
        raise ValueError(f"{name} has no 'image' and 'label' features: {features}")
    meant = splits_of(builder.info.splits)
    called = {split: own for own, split in reversed(meant.items())} | {
        own: own for own in meant if own in meant.values()
    }
    called = {split: called[split] for split in ("train", "test", "validation") if split in called}
    if "train" not in called:
        raise ValueError(f"{name} has the splits {list(builder.info.splits)}; 'train' is needed")
    if others := [own for own in builder.info.splits if own not in called.values()]:
        log.warning("%s: not read: its splits %s", name, ", ".join(others))
    labels, class_names = _numbered(builder, name, {split: _raw_labels(builder, own) for split, own in called.items()})

    def source(split: str, rows: np.ndarray, wanted: Format):
        records = builder.as_data_source(split=called[split])
        return RecordSource(records, rows, labels[split][rows], wanted, f"{name}, {called[split]}")

    wanted = settled(source("train", np.arange(1), wanted), wanted)
    splits = {split: (split, np.arange(len(labels[split]))) for split in called}
    if missing := [split for split in SHARES if split not in called]:
        drawn = _drawn(labels["train"], missing, class_names)
        splits |= {split: ("train", rows) for split, rows in drawn.items()}
    train, validation, test = (held_if_small(source(*splits[split], wanted)) for split in SPLITS)
    version = (builder.info.name, builder.info.config_name, str(builder.info.version))
    parts = [part for split in sorted(labels) for part in (split, labels[split].tobytes())]
    parts += [_sketch(source) for source in (train, validation, test)]
    digest = fingerprint([wanted, class_names, *version, *parts])
    return Dataset(name, class_names, train, validation, test, fingerprint=digest)
