"""Image sources: in memory, or read record by record from a prepared TFDS data set."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cae_jax.types import ImageSource

MEMORY_LIMIT = 1 << 30  # bytes of images up to which a split is held in memory


class ArraySource:
    """Images held in memory.

    Attributes:
        images: `[N, height, width, channels]` uint8.
        labels: `[N]` int32.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(labels):
            raise ValueError(
                f"expected uint8 images [N, height, width, channels] and N labels, "
                f"not {images.dtype} {images.shape} and {len(labels)} labels"
            )
        self.images = images
        self.labels = np.asarray(labels, np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images by position, see `ImageSource`."""
        return self.images[indices]


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
    return ArraySource(source.take(np.arange(len(source))), source.labels)
