"""Image sources: in memory, or read record by record from a prepared TFDS data set."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from cae_jax.types import ImageSource

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
        names: of the files that they are of; empty where they have none.
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
        labels: `[N]` int32, theirs.
    """

    def __init__(self, source: ImageSource, rows: np.ndarray):
        self._source, self._rows = source, np.asarray(rows)
        self.labels = np.asarray(source.labels)[self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images by position, see `ImageSource`."""
        return self._source.take(self._rows[indices])


class RecordSource:
    """Images read and decoded on demand from a TFDS data source (ArrayRecord), restricted to `indices`.

    Attributes:
        labels: `[N]` int32, as given.
    """

    def __init__(self, records: Sequence[Any], indices: np.ndarray, labels: np.ndarray):
        self._records = records
        self._indices = np.asarray(indices)
        self.labels = np.asarray(labels, np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images by position, see `ImageSource`."""
        rows = [int(self._indices[i]) for i in np.atleast_1d(indices)]
        return np.stack([np.asarray(self._records[row]["image"]) for row in rows])


def held_if_small(source: ImageSource, limit: int = MEMORY_LIMIT) -> ImageSource:
    """Loads a source into memory if its images take no more than `limit` bytes, else returns it as it is."""
    if len(source) == 0 or len(source) * source.take(np.arange(1)).nbytes > limit:
        return source
    names = source.names if isinstance(source, _Named) else ()
    return ArraySource(source.take(np.arange(len(source))), source.labels, names)


def image_name(source: ImageSource, row: int, split: str) -> str:
    """What a message calls an image: the path of its file, or else its place in the split."""
    return source.names[row] if isinstance(source, _Named) and source.names else f"{split}_{row}"
