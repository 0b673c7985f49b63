"""What a batch of explanations reads from: image files, or a split of the data set."""

import hashlib
import pathlib
import warnings
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from cae_jax.classifiers import file_digest
from cae_jax.data import Format, ImageError
from cae_jax.explaining.inputs import InputError, list_files, read_image
from cae_jax.types import ImageSource


class Failure(NamedTuple):
    """An image that could not be read, and why."""

    name: str
    reason: str


class Inputs(Protocol):
    """Images by position, read when their turn comes."""

    @property
    def names(self) -> Sequence[str]:
        """Of all images, each its own."""
        ...

    def digests(self, rows: Sequence[int]) -> list[str]:
        """SHA-256 of each image's contents, whether it can be read as an image or not."""
        ...

    def read(self, rows: Sequence[int]) -> tuple[np.ndarray, list[int], list[Failure]]:
        """Reads images `[n, height, width, channels]` uint8, the rows they are of, and what failed."""
        ...


def _digest_or_none(path: pathlib.Path) -> str:
    try:
        return file_digest(path)
    except OSError:  # said where it is read
        return ""


class FileInputs:
    """Image files; one that cannot be read is a failure, and the others go on."""

    def __init__(self, path: pathlib.Path, wanted: Format, limit: int | None = None):
        self._files, self._format = list_files(path)[:limit], wanted
        self.names = [file.name for file in self._files]

    def digests(self, rows: Sequence[int]) -> list[str]:
        """See `Inputs`; a file that cannot be opened has none."""
        return [_digest_or_none(self._files[row]) for row in rows]

    def read(self, rows: Sequence[int]) -> tuple[np.ndarray, list[int], list[Failure]]:
        """See `Inputs`."""
        images, good, failures = [], [], []
        with warnings.catch_warnings(record=True) as resized:
            warnings.simplefilter("always")
            for row in rows:
                try:
                    images.append(read_image(self._files[row], self._format))
                    good.append(row)
                except InputError as error:
                    failures.append(Failure(self.names[row], str(error)))
        if resized:
            others = f" (and {len(resized) - 1} more)" if len(resized) > 1 else ""
            warnings.warn(f"{resized[0].message}{others}", stacklevel=2)
        if not images:
            return np.empty((0, *(self._format.size or (0, 0)), self._format.channels), np.uint8), [], failures
        return np.stack(images), good, failures


class SplitInputs:
    """Rows of a data set's split."""

    def __init__(self, source: ImageSource, split: str, rows: Sequence[int]):
        for row in rows:
            if not 0 <= row < len(source):
                raise InputError(f"--index {row}: the {split} split has images 0 to {len(source) - 1}")
        self._source, self._rows = source, np.asarray(rows, np.int64)
        self.names = [f"{split}_{row}" for row in rows]

    def digests(self, rows: Sequence[int]) -> list[str]:
        """See `Inputs`; those of the pixels."""
        images = self._source.take(self._rows[np.asarray(rows)])
        return [hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in images]

    def read(self, rows: Sequence[int]) -> tuple[np.ndarray, list[int], list[Failure]]:
        """See `Inputs`."""
        try:
            return self._source.take(self._rows[np.asarray(rows)]), list(rows), []
        except ImageError:
            return self._one_by_one(rows)

    def _one_by_one(self, rows: Sequence[int]) -> tuple[np.ndarray, list[int], list[Failure]]:
        """Some image cannot be read: the others go on."""
        images, good, failures = [], [], []
        for row in rows:
            try:
                images.append(self._source.take(self._rows[[row]]))
                good.append(row)
            except ImageError as error:
                failures.append(Failure(self.names[row], str(error)))
        return np.concatenate(images) if images else np.empty((0, 0, 0, 0), np.uint8), good, failures
