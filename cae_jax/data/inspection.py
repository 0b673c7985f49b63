"""What is looked at before a data set is used: sizes, channels, files that cannot be used, images that show nothing."""

import logging
import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from cae_jax.data.file_source import THREADS, Skipped
from cae_jax.data.image_files import Format, ImageError, read_image_file, see_image
from cae_jax.data.pictures import DEEP, Seen
from cae_jax.data.sources import ArraySource
from cae_jax.types import ImageSource

PEEKED = 32  # files that the format is taken from where nobody says it
DARK = 16  # of 255: images that all stay below it show nothing
log = logging.getLogger(__name__)


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
    lost = [path for path, found in seen.items() if found.see_through and np.ptp(found.pixels) == 0]
    if lost:
        log.warning(
            "%d of %d images looked at show nothing once their transparency is dropped (%s); "
            "--config.data.background=white (or black) lays them over that",
            len(lost),
            len(seen),
            lost[0],
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
    channels = wanted.channels or max(found.pixels.shape[2] for found in seen.values())
    convert = wanted.convert and (wanted.channels != 0 or channels == 3)
    size, scale = wanted.size or _one_size(seen), wanted.scale and wanted.size is not None
    return replace(wanted, size=size, channels=channels, convert=convert, scale=scale)


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
