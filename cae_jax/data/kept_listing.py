"""The listing that a run keeps: which files it has, their labels and splits, so that a split never moves."""

import collections
import csv
import io
import logging
import pathlib
from dataclasses import dataclass, replace

import numpy as np

from cae_jax.data.dataset import file_digests
from cae_jax.data.listing import Listing, ListingError
from cae_jax.data.splits import SPLITS, draw_splits
from cae_jax.errors import UserError

LISTING = "listing.csv"
COLUMNS = ("file", "label", "split", "group", "digest")
NEW_FILES = ("leave", "take")
log = logging.getLogger(__name__)


class DataChanged(UserError, RuntimeError):
    """The files of a data set are not those that a run was begun with; the message names them."""


@dataclass(frozen=True)
class Keeping:
    """What is done about files that are not those of a kept listing.

    Attributes:
        path: file of the kept listing; None, or a file that is not there yet, for no such listing.
        new_files: 'leave' them out, or 'take' them in: they are split by the same rule, and all others stay.
        strict: whether a file that is gone, or has another label, split or group, is an error; else it is said.
    """

    path: pathlib.Path | None = None
    new_files: str = "leave"
    strict: bool = True

    def __post_init__(self) -> None:
        if self.new_files not in NEW_FILES:
            raise ValueError(f"new_files must be one of {', '.join(NEW_FILES)}, not {self.new_files!r}")


def listing_bytes(listing: Listing) -> bytes:
    """A listing whose splits are drawn, as CSV: file (from the data's folder), label, split, group, digest."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    labels = (listing.class_names[label] for label in listing.labels)
    groups = [""] * len(listing.files) if listing.groups is None else listing.groups.tolist()
    writer.writerows(zip(listing.names(), labels, listing.splits.tolist(), groups, listing.digests, strict=True))
    return text.getvalue().encode(errors="surrogateescape")


def read_kept(path: pathlib.Path) -> list[dict[str, str]]:
    """Reads what `listing_bytes` made.

    Raises:
        DataChanged: if the file is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error) as error:
        raise DataChanged(f"{path} cannot be read: {error}") from error
    if not rows or any(None in row.values() or tuple(row) != COLUMNS or row["split"] not in SPLITS for row in rows):
        raise DataChanged(f"{path} is damaged; put it back as it was, or start again in another --workdir")
    return rows


def _some(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _tell(path: pathlib.Path, wrong: dict[str, list[str]], changed: list[str], strict: bool) -> None:
    said = [f"{what}: {_some(names)}" for what, names in {**wrong, "with other contents": changed}.items() if names]
    if not said:
        return
    text = f"files of this run are not as {path} has them; {'; '.join(said)}"
    if strict and any(wrong.values()):
        raise DataChanged(f"{text}. Put them back as they were, or start again in another --workdir")
    log.warning("%s", text)


def _otherwise(present: Listing, row_of: dict[str, int], kept: list[dict[str, str]]) -> dict[str, list[str]]:
    """Files of a kept listing that are there, but listed otherwise, by what is other about them."""
    given = set(present.splits.tolist()) - {""}  # of the other splits, files were drawn
    groups = [""] * len(present.files) if present.groups is None else present.groups.tolist()
    found: dict[str, list[str]] = {"with another label": [], "in another split": [], "of another group": []}
    for row in kept:
        at = row_of[row["file"]]
        other = (
            present.class_names[present.labels[at]] != row["label"],
            row["split"] in given and present.splits[at] != row["split"],
            groups[at] != row["group"],
        )
        for names, differs in zip(found.values(), other, strict=True):
            names += [row["file"]] * differs
    return found


def as_kept(present: Listing, keeping: Keeping) -> Listing:
    """A listing in the order and with the splits of a kept one.

    Args:
        present: the files that are there and can be used.
        keeping: the kept listing, and what is done about others. Its file must be there.

    Returns:
        The kept files first, in their order, each with its kept label and split, then those that are taken in. A file
        that is gone keeps its place, so that positions in a split stay what they are, and its digest.

    Raises:
        DataChanged: if files of the kept listing are gone, or have another label, split or group, where that is an
            error.
        ListingError: for files of a new class that are to be taken in.
    """
    assert keeping.path is not None
    kept = read_kept(keeping.path)
    row_of = {name: row for row, name in enumerate(present.names())}
    known = {row["file"] for row in kept}
    new = [row for name, row in row_of.items() if name not in known]
    classes = tuple(name for name in present.class_names if name in {row["label"] for row in kept})
    absent = sorted({row["label"] for row in kept} - set(classes))
    gone = [row["file"] for row in kept if row["file"] not in row_of]
    there = [row for row in kept if row["file"] in row_of]
    digests = dict(
        zip(
            (row["file"] for row in there),
            file_digests([present.files[row_of[row["file"]]] for row in there]),
            strict=True,
        )
    )
    changed = [row["file"] for row in there if digests[row["file"]] != row["digest"]]
    wrong = {"gone or not to be read": gone, **_otherwise(present, row_of, there)}
    _tell(keeping.path, wrong, changed, keeping.strict)
    classes += tuple(absent)
    number = {name: label for label, name in enumerate(classes)}
    listing = Listing(
        present.root,
        tuple(
            present.files[row_of[row["file"]]] if row["file"] in row_of else present.root / row["file"] for row in kept
        ),
        np.asarray([number[row["label"]] for row in kept], np.int32),
        classes,
        np.asarray([row["split"] for row in kept]),
        None if present.groups is None else np.asarray([row["group"] for row in kept]),
        present.left_out,
        tuple(digests.get(row["file"], row["digest"]) for row in kept),
    )
    if not new:
        return listing
    names = [name for name in row_of if name not in known]
    if keeping.new_files == "leave":
        log.warning(
            "%s files are not in %s and are left out; --config.data.new_files=take takes them in",
            f"new: {_some(names)}",
            keeping.path,
        )
        return listing
    return _with_new(listing, present.keep(np.asarray(new)), present.class_names, keeping)


def _with_new(listing: Listing, new: Listing, class_names: tuple[str, ...], keeping: Keeping) -> Listing:
    own = [class_names[label] for label in new.labels]
    if other := sorted(set(own) - set(listing.class_names)):
        raise ListingError(
            f"{keeping.path} has no class {other[0]}, so its files cannot be taken in; a run's classes are fixed: "
            f"start again in another --workdir"
        )
    number = {name: label for label, name in enumerate(listing.class_names)}
    both = replace(
        listing,
        files=listing.files + new.files,
        labels=np.concatenate([listing.labels, np.asarray([number[name] for name in own], np.int32)]),
        splits=np.concatenate([listing.splits.astype("<U10"), new.splits.astype("<U10")]),
        groups=None if listing.groups is None or new.groups is None else np.concatenate([listing.groups, new.groups]),
        digests=listing.digests + file_digests(new.files),
    )
    drawn = draw_splits(both)
    shares = collections.Counter(drawn.splits[len(listing.files) :].tolist())
    log.warning(
        "%d new files are taken in: %s; %d others stay where they are",
        len(new.files),
        ", ".join(f"{count} {split}" for split, count in shares.items()),
        len(listing.files),
    )
    return drawn
