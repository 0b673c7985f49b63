"""An image source that reads files when they are asked for, and what it does about files it cannot use."""

import functools
import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cae_jax.data.image_files import Format, ImageError, read_image_file

THREADS = 4
SMALL = 1 << 15  # bytes of a file; below that one thread is faster than several, which wait for Python's lock
PEEKED = 32  # files that the format is taken from where nobody says it


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


def settle_format(files: Sequence[pathlib.Path], wanted: Format) -> Format:
    """Fills in the size and channels that a format leaves open, from files spread over the list.

    Colours among grey files make all of them RGB. Where only grey was seen, a file in colour is refused later.

    Raises:
        ImageError: if those files differ in size and none is asked for, or none of them can be read.
    """
    if wanted.size is not None and wanted.channels:
        return wanted
    shapes: dict[pathlib.Path, tuple[int, ...]] = {}
    problems = []
    for row in np.unique(np.linspace(0, len(files) - 1, PEEKED).astype(int)).tolist():
        try:
            shapes[files[row]] = read_image_file(files[row], wanted).shape
        except ImageError as error:
            problems.append(str(error))
    if not shapes:
        raise ImageError(f"none of {len(problems)} files can be read; the first: {problems[0]}")
    channels = wanted.channels or max(shape[2] for shape in shapes.values())
    convert = wanted.convert and (wanted.channels != 0 or channels == 3)
    return replace(wanted, size=wanted.size or _one_size(shapes), channels=channels, convert=convert)


def _one_size(shapes: dict[pathlib.Path, tuple[int, ...]]) -> tuple[int, int]:
    by_size = {shape[:2]: path for path, shape in shapes.items()}
    if len(by_size) > 1:
        (size, path), (other, path_2), *_ = by_size.items()
        raise ImageError(
            f"{path} has {size[0]}×{size[1]} pixels and {path_2} {other[0]}×{other[1]}; say what all are brought to, "
            f"for instance --config.data.size=128,128"
        )
    height, width = next(iter(by_size))
    return height, width


def unusable(files: Sequence[pathlib.Path], wanted: Format) -> dict[int, Skipped]:
    """Reads every file once and returns those that cannot be used, by position."""

    def check(row: int) -> Skipped | None:
        try:
            read_image_file(files[row], wanted)
        except ImageError as error:
            return Skipped(files[row], str(error))
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        return {row: found for row, found in enumerate(pool.map(check, range(len(files)))) if found is not None}
