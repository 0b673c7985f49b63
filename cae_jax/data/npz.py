"""Data sets in one `.npz` file with MedMNIST's names: `train_images`, `train_labels`, `val_*`, `test_*`."""

import pathlib
import zipfile

import numpy as np

from cae_jax.data.dataset import Dataset
from cae_jax.data.sources import ArraySource

SPLITS = ("train", "val", "test")


def open_npz(path: pathlib.Path) -> Dataset:
    """Reads a data set; its classes are called by their numbers.

    Args:
        path: of a file that holds, for each split, images uint8 `[N, height, width]` or `[N, height, width, 3]` and
            labels `[N]` or `[N, 1]`, whole numbers from 0.

    Raises:
        ValueError: if an array is missing or of another kind, naming the file and the array.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} cannot be read as .npz: {error}") from error
    train, validation, test = (_source(path, arrays, split) for split in SPLITS)
    shapes = {source.images.shape[1:] for source in (train, validation, test)}
    if len(shapes) > 1:
        raise ValueError(f"{path} has images of different sizes in its splits: {sorted(shapes)}")
    classes = 1 + max(int(source.labels.max()) for source in (train, validation, test))
    return Dataset(str(path), tuple(str(label) for label in range(classes)), train, validation, test)


def _source(path: pathlib.Path, arrays: dict[str, np.ndarray], split: str) -> ArraySource:
    for name in (f"{split}_images", f"{split}_labels"):
        if name not in arrays:
            raise ValueError(f"{path} has no array {name}; it has {', '.join(arrays) or 'none'}")
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{split}_images of {path} must be uint8 [N, height, width] or [N, height, width, 3], "
            f"not {images.dtype} {arrays[f'{split}_images'].shape}"
        )
    if labels.shape not in ((len(images),), (len(images), 1)) or labels.dtype.kind not in "iu" or not len(images):
        raise ValueError(
            f"{split}_labels of {path} must be one whole number for each of {len(images)} images (one or more), "
            f"not {labels.dtype} {labels.shape}"
        )
    labels = labels.reshape(-1)
    if labels.min() < 0:
        raise ValueError(f"{split}_labels of {path} must not be negative, but {int(labels.min())} is among them")
    return ArraySource(images, labels)
