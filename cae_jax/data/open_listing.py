"""From a listing to a data set: files that cannot be used, splits, images that two splits share."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from cae_jax.data.dataset import SPLITS, Dataset
from cae_jax.data.digests import file_sketches, fingerprint, shared_files
from cae_jax.data.draws import draw_splits
from cae_jax.data.file_source import FileSource
from cae_jax.data.folder_files import describe
from cae_jax.data.image_files import AS_THEY_ARE, Format
from cae_jax.data.inspection import settle_format, unusable
from cae_jax.data.kept_listing import DataChanged, Keeping, as_kept, read_kept
from cae_jax.data.listing import Listing, ListingError
from cae_jax.data.sources import held_if_small
from cae_jax.data.table import STANDARD, Columns

HELD = 64 << 20  # bytes of images up to which a split is held in memory
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
    files = {
        split: [
            (listing.files[row], listing.digests[row])
            for row in np.flatnonzero(listing.splits == split)
            if listing.files[row].exists()
        ]
        for split in SPLITS
    }
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
        log.warning("%s: not read: %s", name, describe(listing.left_out))
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
        listing = draw_splits(replace(listing, digests=file_sketches(listing.files)))
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
