"""The record of an opened data set, and files and data sets known by their contents."""

import hashlib
import logging
import pathlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cae_jax.data.image_files import ImageError
from cae_jax.data.listing import Listing
from cae_jax.data.sources import THREADS, Skipped
from cae_jax.data.splits import SPLITS
from cae_jax.types import ImageSource

SAMPLED = 4096  # bytes, three times, of a file that is compared with others
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """An opened data set.

    Attributes:
        name: name that was asked for, or the fallback's.
        class_names: names of the K classes, in the order of the labels.
        train: images that models learn from.
        validation: images that settings and checkpoints are chosen on.
        test: images that results are reported on, and nothing else is.
        note: reason why this is not the data set that was asked for; empty when it is.
        skipped: files that were left out, and why.
        listing: the files, with their splits, as a run keeps them; None where the data set has none.
        fingerprint: digest of names, labels, splits and contents, and of how images are read.
    """

    name: str
    class_names: tuple[str, ...]
    train: ImageSource
    validation: ImageSource
    test: ImageSource
    note: str = ""
    skipped: tuple[Skipped, ...] = ()
    listing: Listing | None = None
    fingerprint: str = ""

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        for row in range(len(self.train)):
            try:
                height, width, channels = self.train.take(np.asarray([row])).shape[1:]
            except ImageError as error:  # of a file that is gone since its run began
                log.info("%s: %s", self.name, error)
            else:
                return height, width, channels
        raise ImageError(f"no training image of {self.name} can be read")

    def split(self, name: str) -> ImageSource:
        """The split called 'train', 'validation' or 'test'.

        Raises:
            ValueError: for another name.
        """
        if name not in SPLITS:
            raise ValueError(f"a split is 'train', 'validation' or 'test', not {name!r}")
        return getattr(self, name)


def file_sketch(path: pathlib.Path) -> str:
    """A file's length and a hash of its beginning, middle and end: what equal files share and few others do.

    Raises:
        ImageError: naming the file, if it cannot be read.
    """
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            if length <= 3 * SAMPLED:
                return f"{length}-{hashlib.sha256(file.read()).hexdigest()[:32]}"
            parts = []
            for start in (0, length // 2, max(length - SAMPLED, 0)):
                file.seek(start)
                parts.append(file.read(SAMPLED))
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist") from error
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error}") from error
    return f"{length}-{hashlib.sha256(b''.join(parts)).hexdigest()[:32]}"


def file_sketches(files: Sequence[pathlib.Path]) -> tuple[str, ...]:
    """The sketches of many files."""
    with ThreadPoolExecutor(THREADS) as pool:
        return tuple(pool.map(file_sketch, files))


def shared_files(
    first: Sequence[tuple[pathlib.Path, str]], second: Sequence[tuple[pathlib.Path, str]]
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Pairs of files of the same contents, one of either list. Only files that look alike are read whole.

    Args:
        first: files of the first list, with their sketches.
        second: files of the second list.
    """
    by_sketch = {sketch: path for path, sketch in first}
    alike = ((by_sketch.get(sketch), path) for path, sketch in second)
    digest = lambda path: hashlib.sha256(path.read_bytes()).digest()  # noqa: E731
    return [(known, path) for known, path in alike if known is not None and digest(known) == digest(path)]


def fingerprint(parts: Iterable[object]) -> str:
    """A digest of texts, numbers and bytes, in their order."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else str(part).encode(errors="surrogateescape"))
        whole.update(b"\0")
    return whole.hexdigest()
