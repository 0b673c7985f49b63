"""What is known of a folder's images before any is opened: files, labels, splits, groups."""

import collections
import pathlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cae_jax.data.image_files import SUFFIXES

SPLIT_NAMES = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


class ListingError(ValueError):
    """A folder or table that describes no data set; the message names the file or line and says what to do."""


@dataclass(frozen=True)
class Listing:
    """The files of a data set.

    Attributes:
        files: N paths.
        labels: `[N]`, positions in `class_names`.
        class_names: K names.
        splits: N of 'train', 'validation', 'test', or '' for files that are still to be split.
        groups: N names of whom (or what) an image is of; images of a group stay in one split. None where unknown.
    """

    files: tuple[pathlib.Path, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    splits: np.ndarray
    groups: np.ndarray | None = None


def image_files(folder: pathlib.Path, root: pathlib.Path) -> list[pathlib.Path]:
    """The image files of a folder by name, without hidden ones and those of its folders.

    Raises:
        ListingError: for a link that leads out of `root`.
    """
    found = sorted(
        entry for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".")
    )
    for path in found:
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            raise ListingError(f"{path} is a link to {path.resolve()}, out of {root}; copy the file or name its folder")
    return found


def class_numbers(labels: Sequence[int], where: Iterable[str]) -> tuple[str, ...]:
    """The class names of numbered labels, which must count from 0 without a gap.

    Args:
        labels: N numbers.
        where: N places, for messages.

    Raises:
        ListingError: naming the place of a negative number, or the numbers that no label has.
    """
    for label, place in zip(labels, where, strict=True):
        if label < 0:
            raise ListingError(f"{place}: labels count from 0, and {label} is below")
    if absent := sorted(set(range(max(labels) + 1)) - set(labels)):
        raise ListingError(f"labels count from 0 without a gap, but no image has {', '.join(map(str, absent[:5]))}")
    return tuple(str(number) for number in range(max(labels) + 1))


def check_each_once(names: Sequence[str], where: str) -> None:
    """Checks that no name stands twice.

    Raises:
        ListingError: with the names that do.
    """
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        more = f" and {len(twice) - 3} more" if len(twice) > 3 else ""
        raise ListingError(f"{where} names these images more than once: {', '.join(twice[:3])}{more}")
