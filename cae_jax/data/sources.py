"""Image sources: in memory, files read when they are asked for, records of a TFDS data set, rows of a file."""

import functools
import os
import pathlib
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

import numpy as np

from cae_jax.data.image_files import AS_THEY_ARE, Format, ImageError, bring_array, read_image_file
from cae_jax.types import ImageSource

THREADS = 4
SMALL = 1 << 15  # bytes of a file; below that one thread is faster than several, which wait for Python's lock
MEMORY_LIMIT = 1 << 30  # bytes of images up to which a split is held in memory


@runtime_checkable
class _Named(Protocol):
    """A source that knows its images' files."""

    @property
    def names(self) -> Sequence[str]: ...


class ArraySource:
    """Images held in memory.

    Attributes:
        images: `[N, height, width, channels]` uint8.
        labels: `[N]` int32.
        names: names of the images' files; empty where they have none.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, names: Sequence[str] = ()):
        if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(labels):
            raise ValueError(
                f"expected uint8 images [N, height, width, channels] and N labels, "
                f"not {images.dtype} {images.shape} and {len(labels)} labels"
            )
        self.images = images
        self.labels = np.asarray(labels, np.int32)
        self.names = names

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images by position, see `ImageSource`."""
        return self.images[indices]


class Selection:
    """Some of the images of another source.

    Attributes:
        labels: `[N]` int32, those of the images selected.
    """

    def __init__(self, source: ImageSource, rows: np.ndarray):
        self._source, self._rows = source, np.asarray(rows)
        self.labels = np.asarray(source.labels)[self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images' files; empty where they have none."""
        if not isinstance(self._source, _Named) or not self._source.names:
            return ()
        return tuple(self._source.names[int(row)] for row in self._rows)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images by position, see `ImageSource`."""
        return self._source.take(self._rows[indices])


class RecordSource:
    """Images read and decoded on demand from a TFDS data source (ArrayRecord), restricted to `indices`.

    Attributes:
        labels: `[N]` int32, as given.
    """

    def __init__(
        self,
        records: Sequence[Any],
        indices: np.ndarray,
        labels: np.ndarray,
        wanted: Format = AS_THEY_ARE,
        name: str = "record",
    ):
        self._records = records
        self._indices = np.asarray(indices)
        self._format, self._name = wanted, name
        self.labels = np.asarray(labels, np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images by position, see `ImageSource`.

        Raises:
            ImageError: naming the record that cannot be used.
        """
        rows = [int(self._indices[i]) for i in np.atleast_1d(indices)]
        return np.stack([self._read(row) for row in rows])

    def _read(self, row: int) -> np.ndarray:
        name = f"{self._name} {row}"
        try:
            image = np.asarray(self._records[row]["image"])
        except Exception as error:  # what TFDS raises depends on how the image is encoded
            raise ImageError(f"{name} cannot be read: {type(error).__name__}: {error}") from error
        return bring_array(image, self._format, name)


class OpenFile:
    """A file that stays open for `os.pread` until nothing refers to this object any more."""

    def __init__(self, file: BinaryIO):
        self.descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.descriptor)


class RowSource:
    """Images `[N, height, width, channels]` that lie one after the other in a file, read when they are asked for.

    Attributes:
        labels: `[N]` int32, of the rows asked for.
    """

    def __init__(
        self,
        file: OpenFile,
        start: int,
        shape: tuple[int, ...],
        rows: np.ndarray,
        labels: np.ndarray,
        wanted: Format = AS_THEY_ARE,
        name: str = "image",
    ):
        self._file, self._start, self._shape = file, start, shape[1:]
        self._rows, self._format, self._name = np.asarray(rows, np.int64), wanted, name
        self.labels = np.asarray(labels, np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images by position, see `ImageSource`.

        Raises:
            ImageError: naming the image that cannot be used.
        """
        return np.stack([self._read(int(self._rows[i])) for i in np.atleast_1d(indices)])

    def _read(self, row: int) -> np.ndarray:
        size = int(np.prod(self._shape))
        raw = os.pread(self._file.descriptor, size, self._start + row * size)
        if len(raw) < size:
            raise ImageError(f"{self._name} {row} cannot be read: the file ends before it")
        return bring_array(np.frombuffer(raw, np.uint8).reshape(self._shape), self._format, f"{self._name} {row}")


def held_if_small(source: ImageSource, limit: int = MEMORY_LIMIT) -> ImageSource:
    """Loads a source into memory if its images take no more than `limit` bytes, else returns it as it is."""
    if len(source) == 0 or len(source) * source.take(np.arange(1)).nbytes > limit:
        return source
    names = source.names if isinstance(source, _Named) else ()
    return ArraySource(source.take(np.arange(len(source))), source.labels, names)


def image_names(source: ImageSource, rows: Sequence[int], split: str) -> list[str]:
    """What messages and results call images: the paths of their files, or else their places in the split."""
    names = source.names if isinstance(source, _Named) else ()
    return [names[row] if names else f"{split}_{row}" for row in rows]


def settled(source: ImageSource, wanted: Format) -> Format:
    """A format, with the size and channels of a source's first image in place of those that it leaves open."""
    height, width, channels = source.take(np.arange(1)).shape[1:]
    return wanted.settled((height, width), channels)


class Skipped(NamedTuple):
    """A file that was left out, and why."""

    path: pathlib.Path
    reason: str


class FileSource:
    """Images read from files on demand; nothing is held.

    Attributes:
        labels: `[N]` int32.
    """

    def __init__(self, files: Sequence[pathlib.Path], labels: np.ndarray, wanted: Format):
        self._files, self._format = files, wanted
        self.labels = np.asarray(labels, np.int32)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="images")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of the files."""
        return tuple(map(str, self._files))

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images by position, see `ImageSource`.

        Raises:
            ImageError: naming the file that cannot be used.
        """
        files = [self._files[int(index)] for index in np.atleast_1d(indices)]
        read = functools.partial(read_image_file, wanted=self._format)
        small = files[0].exists() and files[0].stat().st_size < SMALL
        return np.stack(list(map(read, files) if small else self._pool.map(read, files)))
