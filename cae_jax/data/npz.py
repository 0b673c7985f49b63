"""Data sets in one `.npz` file with MedMNIST's names: `train_images`, `train_labels`, `val_*`, `test_*`."""

import os
import pathlib
import shutil
import tempfile
import zipfile
import zlib
from typing import NamedTuple

import numpy as np

from cae_jax.data.dataset import Dataset, fingerprint
from cae_jax.data.image_files import AS_THEY_ARE, Format
from cae_jax.data.sources import OpenFile, RowSource, held_if_small, settled
from cae_jax.data.splits import SHARES, SPLITS, draw_rows, splits_of

HELD = 64 << 20  # bytes of images up to which a split is held in memory
CHUNK = 1 << 20


class _Member(NamedTuple):
    """An array of the file: where its values begin, in which file, and what they are, in C's order."""

    file: OpenFile
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self) -> np.ndarray:
        """All of it."""
        count = int(np.prod(self.shape))
        values = os.pread(self.file.descriptor, count * self.dtype.itemsize, self.start)
        return np.frombuffer(values, self.dtype, count).reshape(self.shape)


def _header(stream) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the order is Fortran's, and type of the `.npy` that a stream begins with."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


def _open_member(path: pathlib.Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    """Finds an array's values in the file, or unpacks them into a temporary one; either way all is read once, in parts.

    Raises:
        ValueError: if it is damaged, or no plain array.
    """
    with archive.open(info) as stream:
        shape, fortran, dtype = _header(stream)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds Python objects")
        begin = stream.tell()
        expected = begin + int(np.prod(shape)) * dtype.itemsize
        if info.file_size < expected:
            raise ValueError(f"{info.filename} ends early")
        if info.compress_type != zipfile.ZIP_STORED or fortran:
            with tempfile.TemporaryFile() as unpacked:
                if fortran:
                    unpacked.write(np.frombuffer(stream.read(), dtype).reshape(shape, order="F").tobytes())
                else:
                    shutil.copyfileobj(stream, unpacked, CHUNK)
                unpacked.flush()
                return _Member(OpenFile(unpacked), 0, shape, dtype)
        while stream.read(CHUNK):  # to its end, where its check sum is compared
            pass
    with path.open("rb") as file:
        file.seek(info.header_offset)
        local = file.read(30)
        names = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
        return _Member(OpenFile(file), info.header_offset + 30 + names + begin, shape, dtype)


def _labels(path: pathlib.Path, name: str, member: _Member, count: int) -> np.ndarray:
    shape, dtype = member.shape, member.dtype
    if shape not in ((count,), (count, 1)) or dtype.kind not in "iu" or not count:
        several = (
            f". It has {shape[1]} findings for each image: write the one to explain, such as labels[:, 0], into a file "
            f"of its own"
            if len(shape) == 2 and shape[1] > 1
            else ""
        )
        raise ValueError(
            f"{name} of {path} must be one whole number for each of {count} images (one or more), not {dtype} {shape}"
            f"{several}"
        )
    labels = member.read().reshape(-1).astype(np.int64)
    if labels.min() < 0:
        raise ValueError(f"{name} of {path} must not be negative, but {int(labels.min())} is among them")
    return labels


def _check_images(path: pathlib.Path, name: str, member: _Member) -> tuple[int, ...]:
    """The shape of images, with channels."""
    shape = member.shape if len(member.shape) == 4 else (*member.shape, 1)
    if member.dtype != np.uint8 or len(shape) != 4 or shape[-1] not in (1, 3):
        raise ValueError(
            f"{name} of {path} must be uint8 [N, height, width] or [N, height, width, 3], "
            f"not {member.dtype} {member.shape}"
        )
    return shape


def open_npz(path: pathlib.Path, wanted: Format = AS_THEY_ARE) -> Dataset:
    """Opens a data set; its classes are called by their numbers. Large splits are read when they are asked for.

    Args:
        path: path of a file that holds, for each split, images uint8 `[N, height, width]` or `[N, height, width, 3]`
            and labels `[N]` or `[N, 1]`, whole numbers from 0. A split of validation or testing that is lacking is
            drawn.
        wanted: size and channels that images are brought to.

    Raises:
        ValueError: if an array is missing or of another kind, naming the file and the array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            parts = {name: tuple(name.rpartition("_")[::2]) for name in infos}
            meant = splits_of({split for split, kind in parts.values() if kind in ("images", "labels")})
            names: dict[tuple[str, str], str] = {}
            for name, (split, kind) in parts.items():
                if split in meant and names.setdefault((meant[split], kind), name) != name:
                    raise ValueError(f"{names[meant[split], kind]} and {name} both are the {kind} of {meant[split]}")
            arrays = {key: _open_member(path, archive, infos[name]) for key, name in names.items()}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read as .npz: {error}") from error
    usual = {"train": "train", "validation": "val", "test": "test"}
    called = {(split, kind): f"{usual[split]}_{kind}" for split in usual for kind in ("images", "labels")} | names
    present = [split for split in usual if split == "train" or any(part == split for part, _ in arrays)]
    shapes, labels = {}, {}
    for split in present:
        for kind in ("images", "labels"):
            if (split, kind) not in arrays:
                there = ", ".join(infos) or "none"
                raise ValueError(f"{path} has no array {called[split, kind]}; it has {there}")
        shapes[split] = _check_images(path, called[split, "images"], arrays[split, "images"])
        labels[split] = _labels(path, called[split, "labels"], arrays[split, "labels"], shapes[split][0])
    if len({shape[1:] for shape in shapes.values()}) > 1 and wanted.size is None:
        sizes = sorted(shape[1:] for shape in shapes.values())
        raise ValueError(f"{path} has images of different sizes in its splits: {sizes}; say data.size=HEIGHT,WIDTH")
    present_labels = np.unique(np.concatenate(list(labels.values())))
    lowest = 1 if present_labels.tolist() == list(range(1, len(present_labels) + 1)) else 0
    class_names = tuple(str(label) for label in range(lowest, int(present_labels.max()) + 1))

    def source(split: str, rows: np.ndarray, wanted: Format):
        images = arrays[split, "images"]
        name = f"{path}, {called[split, 'images']}"
        return RowSource(images.file, images.start, shapes[split], rows, labels[split][rows] - lowest, wanted, name)

    wanted = settled(source("train", np.arange(1), wanted), wanted)
    splits = {split: (split, np.arange(len(labels[split]))) for split in present}
    if missing := [split for split in SHARES if split not in present]:
        drawn = draw_rows(labels["train"] - lowest, missing, class_names)
        splits |= {split: ("train", rows) for split, rows in drawn.items()}
    train, validation, test = (held_if_small(source(*splits[split], wanted), HELD) for split in SPLITS)
    crcs = sorted((name, info.file_size, info.CRC) for name, info in infos.items())
    digest = fingerprint([wanted, class_names, *crcs])
    return Dataset(str(path), class_names, train, validation, test, fingerprint=digest)
