"""Reads one image file as pixels, in the size and channels that are asked for."""

import pathlib
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cae_jax.data.dicom import DICOM_SUFFIXES, read_dicom
from cae_jax.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", *DICOM_SUFFIXES)
FITS = ("crop", "pad", "stretch")
LEAST_SIDE = 4  # pixels; what is smaller is a mistake, not a picture
MOST_PIXELS = 100_000_000  # of a file, before it is resized


class ImageError(UserError, ValueError):
    """An image file that cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class Format:
    """What image files are brought to.

    Attributes:
        size: height and width; None for those of the file.
        channels: 1, 3, or 0 for those of the file.
        fit: how another size is reached: 'crop' scales to cover the size and cuts out its middle (the published way),
            'pad' scales to fit in and fills up with black, 'stretch' changes the proportions.
        convert: whether grey becomes RGB and colours become their brightness where `channels` asks for it; if not,
            such files are refused.
        window: centre and width of the values shown of a DICOM file; None for the file's own.
    """

    size: tuple[int, int] | None = None
    channels: int = 0
    fit: str = "crop"
    convert: bool = True
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, not {self.fit!r}")
        if self.channels not in (0, 1, 3):
            raise ValueError(f"channels must be 1, 3, or 0 for those of the files, not {self.channels}")
        if self.size is not None and min(self.size) < LEAST_SIDE:
            raise ValueError(f"size must be {LEAST_SIDE} pixels or more, not {self.size}")


AS_THEY_ARE = Format()


def _check_picture(picture: Image.Image, path: pathlib.Path) -> None:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise ImageError(f"{path} has {width}×{height} pixels, more than {MOST_PIXELS:,}; make it smaller first")
    if (frames := getattr(picture, "n_frames", 1)) > 1:
        raise ImageError(f"{path} holds {frames} images; keep the one that is meant in a file of its own")
    if picture.mode in ("CMYK", "LAB", "HSV", "YCbCr"):
        raise ImageError(f"{path} is {picture.mode}; convert it to RGB first, with its colour profile")
    if picture.mode in ("I", "F"):
        raise ImageError(f"{path} has pixels of 32 bits, whose range is not known; convert it to 8 or 16 bits first")


def _pixels(picture: Image.Image) -> np.ndarray:
    """`[height, width, 1 or 3]` uint8, the right way up, without transparency."""
    if picture.mode.startswith("I;16"):
        return (np.asarray(picture).astype(np.uint32) // 257).astype(np.uint8)[..., None]
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("1", "L", "LA"):
        return np.asarray(picture.convert("L"))[..., None]
    return np.asarray(picture.convert("RGB"))


def _read_picture(path: pathlib.Path) -> np.ndarray:
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower, and an error
        with Image.open(path) as picture:
            _check_picture(picture, path)
            return _pixels(picture)


def _in_channels(pixels: np.ndarray, wanted: Format, path: pathlib.Path) -> np.ndarray:
    channels = pixels.shape[-1]
    if wanted.channels in (0, channels):
        return pixels
    if wanted.channels == 3:
        if not wanted.convert:
            raise ImageError(f"{path} is grey, but RGB images are expected; convert it first")
        return np.repeat(pixels, 3, axis=-1)
    if (pixels == pixels[..., :1]).all():
        return pixels[..., :1]
    if not wanted.convert:
        raise ImageError(
            f"{path} is in colour, but grey images are expected; convert it first, so that it is you who decides how"
        )
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]


def resize(pixels: np.ndarray, size: tuple[int, int], fit: str) -> np.ndarray:
    """Brings `[height, width, channels]`, uint8 or float32, to a height and width.

    Args:
        pixels: of one image.
        size: height and width.
        fit: see `Format`.
    """
    (height, width), (rows, columns) = pixels.shape[:2], size
    if fit == "stretch" or height * columns == width * rows:
        scaled = size
    else:
        scale = (max if fit == "crop" else min)(rows / height, columns / width)
        scaled = (max(round(height * scale), 1), max(round(width * scale), 1))
    planes = [
        Image.fromarray(pixels[..., channel]).resize((scaled[1], scaled[0]), Image.Resampling.BILINEAR)
        for channel in range(pixels.shape[-1])
    ]
    whole = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    if fit == "crop":
        top, left = (scaled[0] - rows) // 2, (scaled[1] - columns) // 2
        return whole[top : top + rows, left : left + columns]
    above, before = (rows - scaled[0]) // 2, (columns - scaled[1]) // 2
    return np.pad(whole, ((above, rows - scaled[0] - above), (before, columns - scaled[1] - before), (0, 0)))


def read_pixels(path: pathlib.Path, wanted: Format) -> np.ndarray:
    """Reads an image file at its own size: PNG, JPEG, BMP, TIFF, or DICOM where pydicom is installed.

    Args:
        path: of the file. Pixels of 16 bits are scaled to 8; transparency is dropped.
        wanted: its channels.

    Returns:
        `[height, width, channels]` uint8.

    Raises:
        ImageError: naming the file, if it is missing, empty, damaged, no image, too large or too small, animated, CMYK,
            or has other channels that may not be converted.
    """
    try:
        dicom = path.suffix.lower() in DICOM_SUFFIXES
        pixels = read_dicom(path, wanted.window) if dicom else _read_picture(path)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is no image, whatever its name says") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} has more than {MOST_PIXELS:,} pixels; make it smaller first") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path} cannot be read as an image: {error}") from error
    if min(pixels.shape[:2]) < LEAST_SIDE:
        raise ImageError(f"{path} has only {pixels.shape[0]}×{pixels.shape[1]} pixels")
    return _in_channels(pixels, wanted, path)


def read_image_file(path: pathlib.Path, wanted: Format) -> np.ndarray:
    """`read_pixels`, brought to the size that is asked for.

    Raises:
        ImageError: see `read_pixels`.
    """
    pixels = read_pixels(path, wanted)
    if wanted.size is None or wanted.size == pixels.shape[:2]:
        return pixels
    return resize(pixels, wanted.size, wanted.fit)
