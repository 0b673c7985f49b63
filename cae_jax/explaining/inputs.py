"""Reads and checks the images that people hand in."""

import pathlib
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class InputError(ValueError):
    """Images or arguments that cannot be used; the message names the file or index and says what to do."""


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    planes = [
        np.asarray(Image.fromarray(image[..., c]).resize((size[1], size[0]), Image.Resampling.BILINEAR))
        for c in range(image.shape[-1])
    ]
    return np.stack(planes, axis=-1)


def check_images(images: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Brings images into the shape and range that the model was trained for.

    Args:
        images: `[N, height, width, channels]`, or `[N, height, width]` for grey, uint8 or float in [0, 1]. Another
            height or width is resized, with a warning.
        image_shape: height, width, channels of the training images.

    Returns:
        `[N, height, width, channels]` float32 in [0, 1].

    Raises:
        InputError: for other shapes, types, ranges or channels, or values that are not finite; it names the index.
    """
    images = np.asarray(images)
    height, width, channels = image_shape
    if images.ndim == 3 and channels == 1:
        images = images[..., None]
    if images.ndim != 4 or len(images) == 0:
        raise InputError(f"expected images [N, height, width, {channels}] with N of 1 or more, not {images.shape}")
    if images.shape[-1] != channels:
        raise InputError(f"the model was trained on {channels} channel(s), but these images have {images.shape[-1]}")
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / 255.0
    elif np.issubdtype(images.dtype, np.floating):
        images = images.astype(np.float32)
    else:
        raise InputError(f"expected images of uint8, or float in [0, 1], not {images.dtype}")
    for index, image in enumerate(images):
        if not np.isfinite(image).all():
            raise InputError(f"image {index} has values that are not finite")
        if image.min() < -1e-3 or image.max() > 1 + 1e-3:
            raise InputError(
                f"image {index} has values from {image.min():.3g} to {image.max():.3g}; floats must lie in [0, 1]"
            )
    if images.shape[1:3] != (height, width):
        warnings.warn(
            f"images of {images.shape[1]}×{images.shape[2]} are resized to the trained {height}×{width}", stacklevel=2
        )
        images = np.stack([_resize(image, (height, width)) for image in images])
    return images.clip(0.0, 1.0)


def _decode(picture: Image.Image, channels: int, path: pathlib.Path) -> np.ndarray:
    """Pixels of a picture as uint8 in the channels asked for; refuses where that would lose or invent something."""
    if picture.mode.startswith("I;16"):
        grey = (np.asarray(picture).astype(np.uint32) // 257).astype(np.uint8)
    elif picture.mode in ("1", "L", "LA"):
        grey = np.asarray(picture.convert("L"))
    elif picture.mode in ("I", "F"):
        raise InputError(f"{path} has pixels of 32 bits, whose range is not known; convert it to 8 or 16 bits first")
    else:
        colours = np.asarray(picture.convert("RGB"))
        if channels == 3:
            return colours
        if (colours != colours[..., :1]).any():
            raise InputError(
                f"{path} is in colour; the model was trained on grey images: convert it first, so that it is you who "
                f"decides how"
            )
        return colours[..., 0]
    if channels == 3:
        raise InputError(f"{path} is grey, but the model was trained on RGB images")
    return grey


def read_image(path: pathlib.Path, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Reads one image file as `[height, width, channels]` uint8; another size is resized, with a warning.

    Raises:
        InputError: naming the file, if it cannot be read or has other channels.
    """
    height, width, channels = image_shape
    try:
        with Image.open(path) as picture:
            pixels = _decode(picture, channels, path)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}") from error
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    if pixels.shape[:2] != (height, width):
        warnings.warn(
            f"{path} is {pixels.shape[0]}×{pixels.shape[1]} and is resized to the trained {height}×{width}",
            stacklevel=2,
        )
        pixels = _resize(pixels, (height, width))
    return pixels


def list_files(path: pathlib.Path) -> list[pathlib.Path]:
    """An image file, or all image files of a folder by name (PNG, JPEG, BMP, TIFF).

    Raises:
        InputError: naming the path that does not exist, or the folder that has no images.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise InputError(f"{path} has no images ({', '.join(SUFFIXES)})")
        return files
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    return [path]


def read_images(path: pathlib.Path, image_shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    """Reads an image file, or all image files of a folder by name.

    Args:
        path: a file, or a folder of PNG, JPEG, BMP or TIFF files.
        image_shape: height, width, channels of the training images.

    Returns:
        Images `[N, height, width, channels]` uint8 and the files' names.

    Raises:
        InputError: naming the file that cannot be read or has other channels, or the folder that has no images.
    """
    files = list_files(path)
    return np.stack([read_image(file, image_shape) for file in files]), [file.name for file in files]
