"""An image source that reads files when they are asked for."""

import functools
import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from cae_jax.data.image_files import Format, read_image_file

THREADS = 4
SMALL = 1 << 15  # bytes of a file; below that one thread is faster than several, which wait for Python's lock


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
