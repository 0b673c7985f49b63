"""From a listing to a data set: files that cannot be used, sizes and channels, splits, images that two splits share.

What is looked at before a data set is used is here, too: images that show nothing.
"""

import logging
import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from cae_jax.data.dataset import Dataset, file_digests, fingerprint, warn_of_leaks
from cae_jax.data.folders import kinds_in_words
from cae_jax.data.image_files import AS_THEY_ARE, Format, ImageError, read_image_file, see_image
from cae_jax.data.kept_listing import DataChanged, Keeping, as_kept, read_kept
from cae_jax.data.listing import Listing, ListingError
from cae_jax.data.pictures import DEEP, Seen
from cae_jax.data.sources import THREADS, ArraySource, FileSource, Skipped, held_if_small
from cae_jax.data.splits import SPLITS, draw_splits
from cae_jax.data.table import STANDARD, Columns
from cae_jax.types import ImageSource

HELD = 64 << 20  # bytes of images up to which a split is held in memory
PEEKED = 32  # files that the format is taken from where nobody says it
DARK = 16  # of 255: images that all stay below it show nothing
ON_ERROR = ("raise", "skip")
NO_KEEPING = Keeping()
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileSettings:
    """How a data set's files are read.

    Attributes:
        format: size, channels and the like that each image is brought to.
        columns: names of a table's columns.
        on_error: 'raise', or 'skip' to read every file once, first, and leave out those that cannot be used.
        classes: the classes' names in the order of their numbers; empty for the data's own order.
        keeping: the listing that a run keeps.
    """

    format: Format = AS_THEY_ARE
    columns: Columns = STANDARD
    on_error: str = "raise"
    classes: tuple[str, ...] = ()
    keeping: Keeping = NO_KEEPING

    def __post_init__(self) -> None:
        if self.on_error not in ON_ERROR:
            raise ValueError(f"on_error must be one of {', '.join(ON_ERROR)}, not {self.on_error!r}")


PLAIN = FileSettings()


def _warn_of_leaks(listing: Listing, name: str) -> None:
    rows = {split: np.flatnonzero(listing.splits == split).tolist() for split in SPLITS}
    files = {split: [(str(listing.files[row]), listing.digests[row]) for row in own] for split, own in rows.items()}
    warn_of_leaks(name, "images", files)
    if listing.groups is not None:
        groups = {split: sorted(set(listing.groups[own].tolist())) for split, own in rows.items()}
        warn_of_leaks(name, "groups", {split: [(group, group) for group in own] for split, own in groups.items()})


def open_listing(name: str, listing: Listing, settings: FileSettings) -> Dataset:
    """Opens the images of a listing.

    Args:
        name: name of the data set.
        listing: the data set's files.
        settings: how the files are read.

    Returns:
        The data set; `skipped` has the files that were left out, `listing` what a run keeps. Small splits are held in
        memory, others are read when they are asked for.

    Raises:
        ImageError: for a file that cannot be used, where they are not skipped.
        ListingError: if a split lacks a class.
        DataChanged: see `as_kept`.
    """
    if listing.left_out:
        log.warning("%s: not read: %s", name, kinds_in_words(listing.left_out))
    path = settings.keeping.path
    kept = path is not None and path.exists()
    own = listing.files
    if path is not None and kept:
        known = {row["file"] for row in read_kept(path)}
        own = tuple(file for file, called in zip(own, listing.names(), strict=True) if called in known)
        if not own:
            raise DataChanged(f"{name} has none of the files in {path}; put them back, or start in another --workdir")
    wanted = settle_format(own, settings.format)
    skipped = unusable(listing.files, wanted) if settings.on_error == "skip" else {}
    listing = listing.keep(np.setdiff1d(np.arange(len(listing.files)), list(skipped)))
    if kept:
        listing = as_kept(listing, settings.keeping)
    else:
        listing = draw_splits(replace(listing, digests=file_digests(listing.files)))
    _warn_of_leaks(listing, name)
    whole = not kept or all(file.exists() for file in listing.files)
    sources = {}
    for split in SPLITS:
        rows = np.flatnonzero(listing.splits == split)
        if absent := set(range(len(listing.class_names))) - set(listing.labels[rows].tolist()):
            raise ListingError(f"{name} has no {split} image of class {listing.class_names[min(absent)]}")
        source = FileSource([listing.files[row] for row in rows], listing.labels[rows], wanted)
        sources[split] = held_if_small(source, HELD) if whole else source
    names = zip(listing.names(), listing.labels.tolist(), listing.splits.tolist(), listing.digests, strict=True)
    return Dataset(
        name,
        listing.class_names,
        **sources,
        skipped=tuple(skipped.values()),
        listing=listing,
        fingerprint=fingerprint([wanted, listing.class_names, *names]),
    )


def _one_size(seen: dict[pathlib.Path, Seen]) -> tuple[int, int]:
    by_size = {found.pixels.shape[:2]: path for path, found in seen.items()}
    if len(by_size) > 1:
        (size, path), (other, path_2), *_ = by_size.items()
        raise ImageError(
            f"{path} has {size[0]}×{size[1]} pixels and {path_2} {other[0]}×{other[1]}; say what all are brought to, "
            f"for instance --config.data.size=128,128"
        )
    height, width = next(iter(by_size))
    return height, width


def _warn_of_lost_values(seen: dict[pathlib.Path, Seen]) -> None:
    """Says so where pixels come out black because of how they are stored; all files of a set are scaled alike."""
    brightest = max(found.brightest for found in seen.values())
    if 0 <= brightest < (DEEP + 1) // 2:
        width = 1 << max(brightest.bit_length(), 1)
        log.warning(
            "the images of 16 bits (%d looked at) have values up to %d only, and 65535 is shown white, so they are "
            "dark: if they hold fewer bits, --config.data.window=%d,%d shows 0 to %d; --config.data.window=32768,65536 "
            "keeps them as they are",
            len(seen),
            brightest,
            width // 2,
            width,
            width - 1,
        )
    dropped = [path for path, found in seen.items() if found.see_through]
    if dropped:
        nothing = sum(np.ptp(seen[path].pixels) == 0 for path in dropped)
        log.warning(
            "%d of %d images looked at are transparent in places (%s), and what is stored there is shown%s; "
            "--config.data.background=white (or black) lays them over that",
            len(dropped),
            len(seen),
            dropped[0],
            f": {nothing} show nothing" if nothing else "",
        )


def settle_format(files: Sequence[pathlib.Path], wanted: Format) -> Format:
    """Fills in the size and channels that a format leaves open, from files spread over the list.

    Colours among grey files make all of them RGB. Where only grey was seen, a file in colour is refused later; so is
    one of another size, unless a size was asked for.

    Raises:
        ImageError: if those files differ in size and none is asked for, or none of them can be read.
    """
    seen: dict[pathlib.Path, Seen] = {}
    problems = []
    for row in np.unique(np.linspace(0, len(files) - 1, PEEKED).astype(int)).tolist():
        try:
            seen[files[row]] = see_image(files[row], wanted)
        except ImageError as error:
            problems.append(error)
    if not seen:
        raise ImageError(f"none of {len(problems)} files can be read; the first: {problems[0]}") from problems[0]
    _warn_of_lost_values(seen)
    return wanted.settled(wanted.size or _one_size(seen), max(found.pixels.shape[2] for found in seen.values()))


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


def warn_of_blanks(name: str, splits: dict[str, ImageSource], names: dict[str, list[str]]) -> None:
    """Says so where images are of one value, or all of them nearly black.

    Those that are held in memory are all looked at, of others some that are spread over the split.

    Args:
        name: name of the data set, for the warning.
        splits: the data set's sources, by name.
        names: names of each split's images, if they have any.
    """
    blank: list[str] = []
    looked, greatest = 0, 0
    for split, source in splits.items():
        held = isinstance(source, ArraySource)
        rows = np.arange(len(source)) if held else np.unique(np.linspace(0, len(source) - 1, PEEKED).astype(int))
        pixels = source.take(rows).reshape(len(rows), -1)
        own = names.get(split)
        blank += [own[row] if own else f"{split} {row}" for row in rows[pixels.min(1) == pixels.max(1)].tolist()]
        looked, greatest = looked + len(rows), max(greatest, int(pixels.max()))
    if blank:
        log.warning(
            "%s: %d of %d images looked at are of one value (%s)", name, len(blank), looked, ", ".join(blank[:3])
        )
    if 0 < greatest < DARK:
        log.warning("%s: its images are nearly black: none of %d has a level above %d of 255", name, looked, greatest)
