"""Splits: their names, and how those are drawn that a data set leaves open.

Of files they are drawn by the names alone: no file's split hangs on its neighbours.
"""

import collections
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cae_jax.data.listing import Listing, ListingError

SPLITS = ("train", "validation", "test")
SHARES = {"test": 0.2, "validation": 0.1}  # of all, and of what testing leaves; in the order of drawing
USUAL = re.compile(
    r"(?P<train>train(ing)?)|(?P<validation>val(id(at(e|ion))?)?|dev(el(opment)?)?)|(?P<test>test(ing)?|holdout)"
    r"|(?P<eval>eval(uation)?)"
)
WORDS = re.compile(r"[ _-]?(set|split|data|images|imgs)$")


class _Unit(NamedTuple):
    """Images that stay together: those of a group, or one."""

    rows: list[int]
    counts: collections.Counter[int]  # images by class


def _units(names: list[str], labels: np.ndarray, rows: np.ndarray) -> list[_Unit]:
    """The units of some rows in an order that only their names decide, each at a place of its own."""
    by_name: dict[str, _Unit] = {}
    for row in rows.tolist():
        unit = by_name.setdefault(names[row], _Unit([], collections.Counter()))
        unit.rows.append(row)
        unit.counts[int(labels[row])] += 1
    place = lambda name: hashlib.sha256(name.encode(errors="surrogateescape")).digest()  # noqa: E731
    return [by_name[name] for name in sorted(by_name, key=place)]


def _take(units: list[_Unit], wanted: collections.Counter[int], reserve: int) -> list[_Unit]:
    """Takes units in their order, as long as that brings the classes nearer to the numbers that are wanted.

    Args:
        units: units that may be taken.
        wanted: number of images to take, by class.
        reserve: number of units of each class that must be left over.
    """
    left = collections.Counter(label for unit in units for label in unit.counts)
    missing = collections.Counter(wanted)
    taken: list[_Unit] = []

    def take(unit: _Unit) -> None:
        taken.append(unit)
        missing.subtract(unit.counts)
        left.subtract(list(unit.counts))

    def spared(unit: _Unit) -> bool:
        return all(left[label] > reserve for label in unit.counts)

    for unit in units:
        gain = sum(abs(missing[label]) - abs(missing[label] - count) for label, count in unit.counts.items())
        if gain > 0 and spared(unit):
            take(unit)
    for label in [label for label, count in wanted.items() if count > 0 and missing[label] == count]:
        if missing[label] == wanted[label]:  # none yet: its units are all too large
            fit = [unit for unit in units if label in unit.counts and spared(unit)]
            if fit:
                take(min(fit, key=lambda unit: len(unit.rows)))
    return taken


def _by_class(labels: np.ndarray) -> dict[int, int]:
    present, counts = np.unique(labels, return_counts=True)
    return dict(zip(present.tolist(), counts.tolist(), strict=True))


def check_enough(names: Sequence[str], labels: np.ndarray, parts: int, class_names: Sequence[str]) -> None:
    """Checks that each class has a unit for each of several parts.

    Raises:
        ListingError: naming the classes that are too small.
    """
    units = collections.Counter(label for _, label in set(zip(names, labels.tolist(), strict=True)))
    small = [label for label in sorted(units) if units[label] < parts]
    if small:
        count = units[small[0]]
        images = int((labels == small[0]).sum())
        of = f" in {count} group{'s' * (count > 1)}" if images != count else ""
        others = f" (and {len(small) - 1} more such classes)" if len(small) > 1 else ""
        raise ListingError(
            f"these images cannot be split: class {class_names[small[0]]} has {images} image{'s' * (images > 1)}{of}"
            f"{others}, and needs {parts}, one for each split; add some, leave it out, or say the splits yourself"
        )


def _wanted(counts: dict[int, int], split: str) -> collections.Counter[int]:
    """Images by class that a split gets, at least one of each."""
    return collections.Counter({label: max(round(count * SHARES[split]), 1) for label, count in counts.items()})


def draw_rows(labels: np.ndarray, missing: Sequence[str], class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """Draws missing splits out of training images that have no names: by their positions.

    Args:
        labels: classes `[N]` of the training images.
        missing: splits to draw, some of `SHARES` in their order.
        class_names: K names.

    Returns:
        Sorted positions, by split; 'train' has what is left.

    Raises:
        ListingError: if a class is too small.
    """
    names = list(map(str, range(len(labels))))
    check_enough(names, labels, len(missing) + 1, class_names)
    drawn, rest = {}, np.arange(len(labels))
    for position, split in enumerate(missing):
        units = _units(names, labels, rest)
        taken = _take(units, _wanted(_by_class(labels[rest]), split), len(missing) - position)
        drawn[split] = np.sort(np.asarray([row for unit in taken for row in unit.rows], int))
        rest = np.setdiff1d(rest, drawn[split])
    return drawn | {"train": rest}


def draw_splits(listing: Listing) -> Listing:
    """Draws the splits that a listing leaves open: a fifth for testing, and a tenth of what trains for validation.

    Each class gives its share, and at least one image, to each. The draw depends on the names of the files, or of their
    groups, alone: more files move hardly any other. Files without a split among others that have one are shared out so
    that those stay where they are.

    Raises:
        ListingError: if a class, or its groups, are too few to be split.
    """
    splits = listing.splits.astype("<U10")
    names = listing.names() if listing.groups is None else listing.groups.tolist()
    still_open = splits == ""
    joining = still_open.any() and not still_open.all()
    if joining and listing.groups is not None:
        known = dict(zip(listing.groups[~still_open].tolist(), splits[~still_open].tolist(), strict=True))
        splits = np.asarray([split or known.get(name, "") for split, name in zip(splits, names, strict=True)], "<U10")
    missing = list(SHARES) if (splits == "").any() else [split for split in SHARES if not (splits == split).any()]
    if not missing:
        return replace(listing, splits=splits)
    if not joining:
        splits[splits == ""] = "train"
        pool = np.flatnonzero(splits == "train")
        check_enough([names[row] for row in pool], listing.labels[pool], len(missing) + 1, listing.class_names)
    for position, split in enumerate(missing):
        elsewhere = {names[row] for row in np.flatnonzero(np.isin(splits, ["", "train"], invert=True))}
        rows = np.flatnonzero(splits == ("" if joining else "train"))
        rows = np.asarray([row for row in rows if names[row] not in elsewhere], int)  # of groups in two given splits
        of = np.isin(splits, missing[:position], invert=True) if joining else splits == "train"
        have = _by_class(listing.labels[splits == split])
        wanted = _wanted(_by_class(listing.labels[of]), split)
        wanted.subtract(have)
        reserve = 0 if joining else len(missing) - position
        units = _units(names, listing.labels, rows)
        for unit in _take(units, +wanted, reserve):
            splits[unit.rows] = split
    splits[splits == ""] = "train"
    return replace(listing, splits=splits)


def split_of(name: str) -> str:
    """The split that a name means: 'train', 'validation', 'test', 'eval' (either of the last two), or '' for none."""
    found = USUAL.fullmatch(WORDS.sub("", name.strip().lower()))
    return found.lastgroup or "" if found else ""


def splits_of(names: Iterable[str]) -> dict[str, str]:
    """The splits that names mean, by name, without those that mean none.

    'eval' is the test split, or the validation split where another name means the test split.
    """
    meant = {name: split for name in names if (split := split_of(name))}
    evaluated = "validation" if "test" in meant.values() else "test"
    return {name: evaluated if split == "eval" else split for name, split in meant.items()}


def stratified_split(labels: np.ndarray, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sets `size` rows aside so that both parts keep the proportions of the classes.

    Args:
        labels: classes `[N]`.
        size: number of rows of the second part.
        seed: seed of the draw.

    Returns:
        Sorted row numbers of the rest, and of the part set aside.
    """
    from sklearn.model_selection import train_test_split  # slow to import, and only a split needs it

    rest, aside = train_test_split(np.arange(len(labels)), test_size=size, stratify=labels, random_state=seed)
    return np.sort(rest), np.sort(aside)
