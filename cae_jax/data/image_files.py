"""Reads one image file as pixels, in the size and channels that are asked for; all it raises names the file."""

import logging
import pathlib
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from cae_jax.data.dicom import DICOM_SUFFIXES, has_dicom_magic, read_dicom
from cae_jax.data.pictures import (
    BACKGROUNDS,
    PICTURE_SUFFIXES,
    Seen,
    Unusable,
    Window,
    read_picture,
    show_deep,
    without_alpha,
)
from cae_jax.errors import UserError
from cae_jax.types import Box

SUFFIXES = (*PICTURE_SUFFIXES, *DICOM_SUFFIXES)
FITS = ("crop", "pad", "stretch")
LEAST_SIDE = 4  # pixels; what is smaller is a mistake, not a picture
ORDINARY = (OSError, EOFError, SyntaxError, ValueError, RuntimeError)  # what readers raise of a damaged file
log = logging.getLogger(__name__)


class ImageError(UserError, ValueError):
    """An image file that cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class Format:
    """What images are brought to.

    Attributes:
        size: height and width; None for those of the file.
        channels: 1, 3, or 0 for those of the file.
        fit: how another size is reached: 'crop' scales to cover the size and cuts out its middle (the published way),
            'pad' scales to fit in and fills up with black, 'stretch' changes the proportions.
        convert: whether grey becomes RGB and colours become their brightness where `channels` asks for it; if not,
            such images are refused.
        window: centre and width of the values shown of a DICOM file, or of a grey image of more than 8 bits; None for
            the DICOM file's own, and all values of 16 bits.
        background: colour that transparent images are laid over, 'black' or 'white'; '' to drop their transparency.
        scale: whether images of another size are brought to `size`; if not, they are refused.
    """

    size: tuple[int, int] | None = None
    channels: int = 0
    fit: str = "crop"
    convert: bool = True
    window: Window | None = None
    background: str = ""
    scale: bool = True

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, not {self.fit!r}")
        if self.channels not in (0, 1, 3):
            raise ValueError(f"channels must be 1, 3, or 0 for those of the files, not {self.channels}")
        if self.size is not None and min(self.size) < LEAST_SIDE:
            raise ValueError(f"size must be {LEAST_SIDE} pixels or more, not {self.size}")
        if self.background not in ("", *BACKGROUNDS):
            raise ValueError(
                f"background must be {' or '.join(BACKGROUNDS)}, or nothing to drop transparency, not "
                f"{self.background!r}"
            )

    def settled(self, size: tuple[int, int], channels: int) -> "Format":
        """This format, with a size and channels in place of those that it leaves open.

        Images of another size are then refused, and so are colours among grey images: nobody has said what becomes of
        them. Grey images among colours become RGB.
        """
        return replace(
            self,
            size=self.size or size,
            channels=self.channels or channels,
            convert=self.convert and (self.channels != 0 or channels == 3),
            scale=self.scale and self.size is not None,
        )


AS_THEY_ARE = Format()


def _in_channels(pixels: np.ndarray, wanted: Format, name: object) -> np.ndarray:
    channels = pixels.shape[-1]
    if wanted.channels in (0, channels):
        return pixels
    if wanted.channels == 3:
        if not wanted.convert:
            raise ImageError(f"{name} is grey, but RGB images are expected; convert it first")
        return np.repeat(pixels, 3, axis=-1)
    if (pixels == pixels[..., :1]).all():
        return pixels[..., :1]
    if not wanted.convert:
        raise ImageError(
            f"{name} is in colour, but grey images are expected; convert it first, so that it is you who decides how"
        )
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]


def _scaling(shape: tuple[int, int], size: tuple[int, int], fit: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """What `resize` scales a picture to, and the row and column of that at which its image begins."""
    (height, width), (rows, columns) = shape, size
    if fit == "stretch" or height * columns == width * rows:
        return size, (0, 0)
    scale = (max if fit == "crop" else min)(rows / height, columns / width)
    scaled = (max(round(height * scale), 1), max(round(width * scale), 1))
    return scaled, (int((scaled[0] - rows) / 2), int((scaled[1] - columns) / 2))


def place_of(shape: tuple[int, int], size: tuple[int, int], fit: str) -> Box:
    """Where an image that `resize` made lies on the picture that it was made of; what is padded lies outside of it.

    Args:
        shape: height and width of the picture.
        size: height and width of the image.
        fit: see `Format`.
    """
    scaled, (top, left) = _scaling(shape, size, fit)
    down, across = shape[0] / scaled[0], shape[1] / scaled[1]
    return Box(top * down, left * across, size[0] * down, size[1] * across)


def resize(pixels: np.ndarray, size: tuple[int, int], fit: str) -> np.ndarray:
    """Brings `[height, width, channels]`, uint8 or float32, to a height and width.

    Args:
        pixels: one image's pixels.
        size: height and width.
        fit: see `Format`.
    """
    rows, columns = size
    scaled, (top, left) = _scaling(pixels.shape[:2], size, fit)
    planes = [
        Image.fromarray(pixels[..., channel]).resize((scaled[1], scaled[0]), Image.Resampling.BILINEAR)
        for channel in range(pixels.shape[-1])
    ]
    whole = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    if fit == "crop":
        return whole[top : top + rows, left : left + columns]
    return np.pad(whole, ((-top, rows - scaled[0] + top), (-left, columns - scaled[1] + left), (0, 0)))


def bring_to_size(pixels: np.ndarray, wanted: Format, name: object) -> np.ndarray:
    """Brings `[height, width, channels]` to the size that a format asks for.

    Args:
        pixels: one image's pixels.
        wanted: format whose size, if it has one, is reached.
        name: name of the image in messages.

    Raises:
        ImageError: if it has another size and may not be scaled.
    """
    size, (height, width) = wanted.size, pixels.shape[:2]
    if size is None or size == (height, width):
        return pixels
    if not wanted.scale:
        raise ImageError(
            f"{name} has {height}×{width} pixels, but others have {size[0]}×{size[1]}; say what all are brought to, "
            f"for instance --config.data.size={size[0]},{size[1]}, or leave it out"
        )
    return resize(pixels, size, wanted.fit)


def bring_array(values: np.ndarray, wanted: Format, name: object) -> np.ndarray:
    """Brings an image that is an array to a format, as a file's is.

    Args:
        values: `[height, width]` or `[height, width, 1 to 4]`, uint8, or of more bits where it is grey.
        wanted: format whose size, channels, window and background are reached.
        name: name of the image in messages.

    Returns:
        `[height, width, channels]` uint8.

    Raises:
        ImageError: for other shapes or types, or what a format refuses.
    """
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[-1] not in (1, 2, 3, 4):
        raise ImageError(f"{name} is no image [height, width, 1 or 3], but {values.dtype} {values.shape}")
    if values.dtype != np.uint8:
        if values.shape[-1] != 1 or (values.dtype != np.uint16 and wanted.window is None):
            raise ImageError(f"{name} is {values.dtype} with {values.shape[-1]} channels; convert it to uint8 first")
        try:
            values = show_deep(values, wanted.window)
        except Unusable as error:
            raise ImageError(f"{name} {error}") from error
    if values.shape[-1] in (2, 4):
        values = without_alpha(values, wanted.background)
    return bring_to_size(_in_channels(values, wanted, name), wanted, name)


def _see(path: pathlib.Path, wanted: Format) -> Seen:
    if path.is_dir():
        raise Unusable("is a folder, not an image file")
    if path.stat().st_size == 0:
        raise Unusable("is empty (0 bytes)")
    if path.suffix.lower() in DICOM_SUFFIXES or has_dicom_magic(path):
        return Seen(read_dicom(path, wanted.window))
    return read_picture(path, wanted.window, wanted.background)


def see_image(path: pathlib.Path, wanted: Format) -> Seen:
    """Reads an image file at its own size; this is the one place that image files are read, for every purpose.

    Args:
        path: path of the file: DICOM where it begins like one, else what Pillow says it is.
        wanted: format whose channels, window and background are reached.

    Raises:
        ImageError: naming the file and, as its cause, whatever the reader raised: a file may be damaged in any way.
    """
    try:
        seen = _see(path, wanted)
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist") from error
    except Unusable as error:
        raise ImageError(f"{path} {error}") from error
    except Exception as error:
        text = " ".join(str(error).split())
        if not isinstance(error, ORDINARY):
            log.info("%s cannot be read as an image", path, exc_info=error)
            text = f"{type(error).__name__}: {text}"
        raise ImageError(f"{path} cannot be read as an image: {text or type(error).__name__}") from error
    if min(seen.pixels.shape[:2]) < LEAST_SIDE:
        raise ImageError(f"{path} has only {seen.pixels.shape[0]}×{seen.pixels.shape[1]} pixels")
    return seen._replace(pixels=_in_channels(seen.pixels, wanted, path))


def read_pixels(path: pathlib.Path, wanted: Format) -> np.ndarray:
    """Reads an image file at its own size: one of Pillow's `FORMATS`, or DICOM where pydicom is installed.

    Args:
        path: path of the file. Pixels of 16 bits are scaled to 8.
        wanted: format whose channels, window and background are reached.

    Returns:
        `[height, width, channels]` uint8.

    Raises:
        ImageError: naming the file, if it is missing, empty, damaged, no image, too large or too small, animated, CMYK,
            or has other channels that may not be converted.
    """
    return see_image(path, wanted).pixels


def read_image_file(path: pathlib.Path, wanted: Format) -> np.ndarray:
    """`read_pixels`, brought to the size that is asked for.

    Raises:
        ImageError: see `read_pixels`; also of another size, where that may not be changed.
    """
    return bring_to_size(read_pixels(path, wanted), wanted, path)
