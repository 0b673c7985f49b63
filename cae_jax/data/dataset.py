"""The record of an opened data set, and files and data sets known by their contents."""

import hashlib
import logging
import pathlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cae_jax.data.image_files import ImageError
from cae_jax.data.listing import Listing
from cae_jax.data.sources import THREADS, Skipped
from cae_jax.data.splits import SPLITS
from cae_jax.types import ImageSource

LEAKS = {
    ("train", "test"): "what is reported of the test split is too good",
    ("train", "validation"): "checkpoints are chosen by what models have learned",
    ("validation", "test"): "what is reported is of images that checkpoints are chosen by",
}
SPOKEN = {"train": "training"}
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


def file_digest(path: pathlib.Path) -> str:
    """A file's length and a hash of its contents.

    Raises:
        ImageError: naming the file, if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest()
            return f"{file.tell()}-{whole[:32]}"
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist") from error
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error}") from error


def file_digests(files: Sequence[pathlib.Path]) -> tuple[str, ...]:
    """The digests of many files."""
    with ThreadPoolExecutor(THREADS) as pool:
        return tuple(pool.map(file_digest, files))


def warn_of_leaks(name: str, what: str, known: Mapping[str, Sequence[tuple[str, Hashable]]]) -> None:
    """Says so where two splits share something.

    Args:
        name: name of the data set, for the warning.
        what: what splits have, 'images' or 'groups'.
        known: by split, what each of its images or groups is called, and what it is known by.
    """
    for (one, other), harm in LEAKS.items():
        first = {key: called for called, key in reversed(known[one])}
        both = [(called, first[key]) for called, key in known[other] if key in first]
        if both:
            example = " is ".join(dict.fromkeys(both[0]))
            log.warning(
                "%s: %d %s of the %s split are in the %s split too (%s); %s",
                name,
                len(both),
                what,
                SPOKEN.get(other, other),
                SPOKEN.get(one, one),
                example,
                harm,
            )


def fingerprint(parts: Iterable[object]) -> str:
    """A digest of texts, numbers and bytes, in their order."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else str(part).encode(errors="surrogateescape"))
        whole.update(b"\0")
    return whole.hexdigest()
