"""Picture files with Pillow: the one image that is meant, the right way up; any bit depth as brightness of 8 bits."""

import io
import pathlib
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

Window = tuple[float, float]
"""Centre and width, as DICOM has them."""
FORMATS = {  # Pillow's names of what is read, by content, and the suffixes that such files have
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k"),
    "AVIF": (".avif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
PICTURE_SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MOST_PIXELS = 100_000_000  # of a file, before it is resized
DEEP = 65535  # white of 16 bits
BACKGROUNDS = {"black": 0.0, "white": 255.0}
ORIENTATION, PHOTOMETRIC, SUBFILE = 0x0112, 262, 254  # tags of TIFF


class Unusable(ValueError):
    """What is wrong with a file's contents: the rest of a sentence that begins with its name."""


class Seen(NamedTuple):
    """An image as it was read.

    Attributes:
        pixels: `[height, width, 1 or 3]` uint8.
        brightest: greatest value of a grey image of 16 bits that was shown in its full range; -1 of others.
        see_through: whether transparency that differs from place to place was dropped.
    """

    pixels: np.ndarray
    brightest: int = -1
    see_through: bool = False


def _choose_page(picture: Image.Image) -> None:
    """Goes to the image that is meant: a photograph's first, or the one page that is no smaller copy of another.

    Raises:
        Unusable: if there are several.
    """
    count = getattr(picture, "n_frames", 1)
    if count == 1 or picture.format == "MPO":
        return
    full: list[int] = []
    if picture.format == "TIFF":
        sizes, reduced = [], []
        for page in range(count):
            picture.seek(page)
            sizes.append(picture.size)
            reduced.append(bool(int(picture.tag_v2.get(SUBFILE, 0)) & 1))  # type: ignore[attr-defined]
        width, height = max(sizes)
        small = [2 * w <= width and 2 * h <= height for w, h in sizes]
        full = [page for page in range(count) if not (reduced[page] or small[page])]
    if len(full) != 1:
        raise Unusable(f"holds {count} images; keep the one that is meant in a file of its own")
    picture.seek(full[0])


def _check(picture: Image.Image, window: Window | None) -> None:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise Unusable(f"has {width}×{height} pixels, more than {MOST_PIXELS:,}; make it smaller first")
    if picture.mode in ("CMYK", "LAB", "HSV", "YCbCr"):
        raise Unusable(f"is {picture.mode}; convert it to RGB first, with its colour profile")
    if picture.mode in ("I", "F") and picture.format != "PPM" and window is None:
        raise Unusable(
            "has pixels of 32 bits, whose range is not known; say which values are shown, data.window=CENTRE,WIDTH, "
            "or convert it to 8 or 16 bits first"
        )


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns `[height, width, ...]` as the orientation says that EXIF stores, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def show_deep(values: np.ndarray, window: Window | None) -> np.ndarray:
    """Values of more than 8 bits, any shape, as uint8: those of a window, or all of 16 bits.

    Raises:
        Unusable: if some are not finite.
    """
    exact = values.dtype.kind == "f"
    if exact and not np.isfinite(values).all():
        raise Unusable("has values that are not finite")
    return to_bytes(values, *((0, DEEP) if window is None else window_ends(window, exact)))


def without_alpha(pixels: np.ndarray, background: str) -> np.ndarray:
    """Drops the last of 2 or 4 channels, the opacity, or lays the image over black or white with it."""
    colours, alpha = pixels[..., :-1], pixels[..., -1:] / np.float32(255)
    if not background:
        return colours
    return np.round(colours * alpha + BACKGROUNDS[background] * (1 - alpha)).astype(np.uint8)


def _white(picture: Image.Image) -> int:
    """What a PGM file of more than 8 bits shows white; Pillow scales its values so that it becomes that of 16 bits."""
    if picture.format != "PPM" or picture.mode != "I":
        return DEEP
    arguments = picture.tile[0].args
    return arguments[-1] if isinstance(arguments, tuple) else DEEP


def _pixels(picture: Image.Image, window: Window | None, background: str) -> Seen:
    """`[height, width, 1 or 3]` as it is stored, without transparency."""
    mode = picture.mode
    if mode.startswith("I;16") or mode in ("I", "F"):
        white = _white(picture)
        values = np.asarray(picture)[..., None]
        if white != DEEP and window is not None:  # a window counts the file's own values
            values = np.round(values * (white / DEEP)).astype(values.dtype)
        shown = show_deep(values, window)
        if picture.format == "TIFF" and picture.tag_v2.get(PHOTOMETRIC) == 0:  # type: ignore[attr-defined]
            shown = 255 - shown  # white is zero, which Pillow minds up to 8 bits
        return Seen(shown, int(values.max()) if window is None else -1)
    grey = mode in ("1", "L", "LA", "La")
    if not picture.has_transparency_data:
        return Seen(np.asarray(picture.convert("L"))[..., None] if grey else np.asarray(picture.convert("RGB")))
    pixels = np.asarray(picture.convert("LA" if grey else "RGBA"))
    varied = pixels[..., -1].min() < pixels[..., -1].max()
    return Seen(without_alpha(pixels, background), see_through=not background and bool(varied))


def read_picture(path: pathlib.Path, window: Window | None, background: str) -> Seen:
    """Reads an image file of one of `FORMATS`, whatever its suffix.

    Args:
        path: path of the file.
        window: centre and width of the values shown of grey images of more than 8 bits; None for all of 16 bits.
        background: colour that transparent images are laid over, 'black' or 'white'; '' to drop their transparency.

    Raises:
        Unusable: for what the file holds.
        Exception: whatever Pillow raises of a damaged file.
    """
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]
    with warnings.catch_warnings(), path.open("rb") as file:  # of a path, Pillow maps TIFF files without turning them
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower, and an error
        try:
            picture = Image.open(file, formats=known)
        except UnidentifiedImageError as error:
            if path.suffix.lower() in PICTURE_SUFFIXES:
                raise Unusable("is no image, whatever its name says") from error
            kinds = ", ".join(name for name in known if name not in ("MPO", "DIB"))
            raise Unusable(f"is of no kind that is read here ({kinds}, DICOM); convert it first") from error
        except Image.DecompressionBombError as error:
            raise Unusable(f"has more than {MOST_PIXELS:,} pixels; make it smaller first") from error
        with picture:
            _choose_page(picture)
            _check(picture, window)
            seen = _pixels(picture, window, background)
            if picture.format == "TIFF":  # which Pillow has turned
                return seen
            return seen._replace(pixels=turn_upright(seen.pixels, picture.getexif().get(ORIENTATION, 1)))


def window_ends(window: Window, exact: bool) -> tuple[float, float]:
    """The values that a window shows black and white (PS3.3, C.11.2.1.2 and C.11.2.1.3.2).

    Args:
        window: centre and width.
        exact: whether the width is of a continuous scale; else it counts whole values: (2048, 4096) is 0 to 4095.
    """
    centre, width = window
    if exact or width < 1:
        return centre - width / 2, centre + width / 2
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def to_bytes(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Spreads values from `black` to `white` over 0 to 255, rounded; what lies beyond is cut off. Any shape, uint8."""
    shown = (np.asarray(values, np.float32) - np.float32(black)) / np.float32(max(white - black, 1e-9))
    return np.round(np.clip(shown, 0.0, 1.0) * 255).astype(np.uint8)


def encode_png(image: np.ndarray) -> io.BytesIO:
    """Encodes a uint8 image `[height, width]` or `[height, width, 1 or 3]` as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image).save(buffer, format="png")
    buffer.seek(0)
    return buffer
