"""From a listing to a data set: files that cannot be used, splits, images that two splits share."""

import hashlib
import logging
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cae_jax.data.dataset import SPLITS, Dataset, stratified_split
from cae_jax.data.file_source import FileSource, settle_format, unusable
from cae_jax.data.image_files import AS_THEY_ARE, Format
from cae_jax.data.listing import Listing, ListingError
from cae_jax.data.sources import held_if_small
from cae_jax.data.table import STANDARD, Columns

HELD = 64 << 20  # bytes of images up to which a split is held in memory
SAMPLED = 4096  # bytes, three times, of a file that is compared with others
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
ON_ERROR = ("raise", "skip")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileSettings:
    """How image files are read.

    Attributes:
        format: what each is brought to.
        columns: of a table.
        on_error: 'raise', or 'skip' to read every file once, first, and leave out those that cannot be used.
    """

    format: Format = AS_THEY_ARE
    columns: Columns = STANDARD
    on_error: str = "raise"

    def __post_init__(self) -> None:
        if self.on_error not in ON_ERROR:
            raise ValueError(f"on_error must be one of {', '.join(ON_ERROR)}, not {self.on_error!r}")


PLAIN = FileSettings()


def _keep(listing: Listing, rows: np.ndarray) -> Listing:
    groups = None if listing.groups is None else listing.groups[rows]
    files = tuple(listing.files[row] for row in rows)
    return replace(listing, files=files, labels=listing.labels[rows], splits=listing.splits[rows], groups=groups)


def _aside(listing: Listing, rows: np.ndarray, share: float) -> np.ndarray:
    """Draws a share of rows, in the classes' proportions and, where there are groups, by whole groups."""
    labels = listing.labels[rows]
    if listing.groups is None:
        return rows[stratified_split(labels, max(round(len(rows) * share), 1))[1]]
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import, and only a split needs it

    groups = listing.groups[rows]
    parts = min(round(1 / share), len(np.unique(groups)), int(np.unique(labels, return_counts=True)[1].min()))
    folds = StratifiedGroupKFold(parts, shuffle=True, random_state=0)
    return rows[next(iter(folds.split(rows, labels, groups)))[1]]


def draw_splits(listing: Listing) -> Listing:
    """Draws the splits that a listing leaves open: a fifth for testing, and a tenth of what trains for validation.

    The draw depends on the files alone.

    Raises:
        ListingError: if a class, or its groups, are too few to be split.
    """
    splits = listing.splits.astype("<U10")
    try:
        if (splits == "").any():
            rows = np.flatnonzero(splits == "")
            splits[rows] = "train"
            splits[_aside(listing, rows, TEST_SHARE)] = "test"
        if not (splits == "validation").any():
            splits[_aside(listing, np.flatnonzero(splits == "train"), VALIDATION_SHARE)] = "validation"
    except ValueError as error:
        raise ListingError(f"these images cannot be split: {error}") from error
    return replace(listing, splits=splits)


def _sketch(path: pathlib.Path) -> tuple[int, bytes]:
    """A file's length and a hash of its beginning, middle and end: what equal files share and few others do."""
    length = path.stat().st_size
    with path.open("rb") as file:
        if length <= 3 * SAMPLED:
            return length, hashlib.sha256(file.read()).digest()
        parts = []
        for start in (0, length // 2, max(length - SAMPLED, 0)):
            file.seek(start)
            parts.append(file.read(SAMPLED))
    return length, hashlib.sha256(b"".join(parts)).digest()


def shared_files(
    first: Sequence[pathlib.Path], second: Sequence[pathlib.Path]
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Pairs of files of the same contents, one of either list. Only files that look alike are read whole."""
    by_sketch = {_sketch(path): path for path in first}
    alike = ((by_sketch.get(_sketch(path)), path) for path in second)
    digest = lambda path: hashlib.sha256(path.read_bytes()).digest()  # noqa: E731
    return [(known, path) for known, path in alike if known is not None and digest(known) == digest(path)]


def _warn_of_leaks(listing: Listing, name: str) -> None:
    files = {split: [listing.files[row] for row in np.flatnonzero(listing.splits == split)] for split in SPLITS}
    if pairs := shared_files(files["train"], files["test"]):
        log.warning(
            "%s: %d test images are training images too (%s is %s); what is reported of the test split is too good",
            name,
            len(pairs),
            pairs[0][1],
            pairs[0][0],
        )
    if listing.groups is not None:
        groups = {split: set(listing.groups[listing.splits == split].tolist()) for split in SPLITS}
        if both := sorted(groups["train"] & (groups["test"] | groups["validation"])):
            log.warning(
                "%s: %d groups are in the training split and in another (%s); what is reported is too good",
                name,
                len(both),
                both[0],
            )


def open_listing(name: str, listing: Listing, settings: FileSettings) -> Dataset:
    """Opens the images of a listing.

    Args:
        name: of the data set.
        listing: its files.
        settings: how they are read.

    Returns:
        The data set; `skipped` has the files that were left out. Small splits are held in memory, others are read when
        they are asked for.

    Raises:
        ImageError: for a file that cannot be used, where they are not skipped.
        ListingError: if a split lacks a class.
    """
    wanted = settle_format(listing.files, settings.format)
    skipped = unusable(listing.files, wanted) if settings.on_error == "skip" else {}
    listing = draw_splits(_keep(listing, np.setdiff1d(np.arange(len(listing.files)), list(skipped))))
    _warn_of_leaks(listing, name)
    sources = {}
    for split in SPLITS:
        rows = np.flatnonzero(listing.splits == split)
        if absent := set(range(len(listing.class_names))) - set(listing.labels[rows].tolist()):
            raise ListingError(f"{name} has no {split} image of class {listing.class_names[min(absent)]}")
        files = [listing.files[row] for row in rows]
        sources[split] = held_if_small(FileSource(files, listing.labels[rows], wanted), HELD)
    return Dataset(name, listing.class_names, **sources, skipped=tuple(skipped.values()))
