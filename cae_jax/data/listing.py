"""What is known of a data set's image files before any is opened: names, labels, splits, groups."""

import collections
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np


class ListingError(ValueError):
    """A folder or table that describes no data set; the message names the file or line and says what to do."""


@dataclass(frozen=True)
class Listing:
    """The files of a data set.

    Attributes:
        root: folder that names are relative to.
        files: paths of the N images.
        labels: `[N]`, positions in `class_names`.
        class_names: names of the K classes.
        splits: N of 'train', 'validation', 'test', or '' for files that are still to be split.
        groups: N names of whom (or what) an image is of; images of a group stay in one split. None where unknown.
        left_out: number of files that were not taken, by kind.
        digests: N digests of contents; empty where they are not known yet.
    """

    root: pathlib.Path
    files: tuple[pathlib.Path, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    splits: np.ndarray
    groups: np.ndarray | None = None
    left_out: collections.Counter[str] = field(default_factory=collections.Counter)
    digests: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """The files' names, with `/` between folders: from the root, or whole where a file lies elsewhere."""
        root = os.path.join(os.path.abspath(self.root), "")  # a path's own methods take minutes for 100,000 files
        whole = (os.path.abspath(file) for file in self.files)
        return [path.removeprefix(root).replace(os.sep, "/") for path in whole]

    def keep(self, rows: np.ndarray) -> "Listing":
        """The files at some positions, in their order."""
        return replace(
            self,
            files=tuple(self.files[row] for row in rows),
            labels=self.labels[rows],
            splits=self.splits[rows],
            groups=None if self.groups is None else self.groups[rows],
            digests=tuple(self.digests[row] for row in rows) if self.digests else (),
        )


def natural(text: str) -> tuple[list[str | int], str]:
    """A key that sorts names with their numbers in order: 2 before 10."""
    parts: list[str | int] = [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
    return parts, text


def class_order(present: Iterable[str], wanted: Sequence[str], where: object) -> tuple[str, ...]:
    """The class names in the order that was asked for, or else in natural order.

    Args:
        present: names of the classes that are there.
        wanted: all names in another order; empty for the natural one.
        where: what has the classes, in words for messages.

    Raises:
        ListingError: with the names that only one of the two has.
    """
    names = sorted(set(present), key=natural)
    if not wanted:
        return tuple(names)
    if len(set(wanted)) < len(wanted):
        raise ListingError(f"data.classes names a class twice: {', '.join(wanted)}")
    absent, more = set(wanted) - set(names), [name for name in names if name not in wanted]
    if absent or more:
        unlike = [f"no class {name}" for name in wanted if name in absent] + [f"a class {name} too" for name in more]
        raise ListingError(f"data.classes is {', '.join(wanted)}, but {where} has {', '.join(unlike)}")
    return tuple(wanted)


def whole_number(text: str) -> str | None:
    """A whole number as it is usually written, of a text that may end in `.0`; None for other texts."""
    found = re.fullmatch(r"([+-]?\d+)(\.0*)?", text)
    return str(int(found[1])) if found else None


def class_numbers(labels: Sequence[int], where: Iterable[str]) -> tuple[str, ...]:
    """The class names of numbered labels, which must count from 0 without a gap.

    Args:
        labels: the N images' class numbers.
        where: the N places where the numbers stand, for messages.

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
