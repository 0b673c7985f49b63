"""Reads and checks the images to explain: arrays, image files, splits of the data set."""

import hashlib
import logging
import os
import pathlib
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from cae_jax.classifiers import file_digest
from cae_jax.data import (
    SUFFIXES,
    Format,
    ImageError,
    image_files,
    image_names,
    images_below,
    kinds_in_words,
    place_of,
    read_pixels,
    resize,
)
from cae_jax.errors import InputError
from cae_jax.images import unit_images
from cae_jax.types import ImageSource, Picture

log = logging.getLogger(__name__)
HOW = {"crop": "what is beyond that is cut off", "pad": "padded with black", "stretch": "stretched"}


Images = Any
"""Images as a caller has them: a numpy array, a PyTorch tensor on any device, or a list of arrays, tensors or pictures.

`as_array` reads them; no other type says that in one word, as PyTorch is not imported."""


def as_array(values: Any) -> np.ndarray:
    """Converts images to a numpy array.

    Args:
        values: numpy array, PyTorch tensor on any device, PIL picture, or a list of arrays, tensors or pictures of one
            size.

    Raises:
        InputError: for images of different sizes (it names the index), or pictures that are neither grey nor RGB.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        return np.asarray(values.float() if "float" in str(values.dtype) else values)
    if isinstance(values, Image.Image):
        if values.mode.startswith(("I", "F")):  # whose values convert() would cut off at 255
            raise InputError(
                f"pictures are grey or RGB of 8 bits, not {values.mode}; hand in an array in [0, 1], such as "
                f"np.asarray(picture) / 65535, or the file's path"
            )
        if values.mode not in ("L", "RGB"):
            raise InputError(f'pictures are grey or RGB, not {values.mode}; take convert("L") or convert("RGB")')
        return np.asarray(values)
    several = isinstance(values, (list, tuple)) and any(hasattr(v, "shape") or hasattr(v, "mode") for v in values)
    if not several:
        try:
            return np.asarray(values)
        except ValueError as error:
            raise InputError(f"this is no array, nor a list of equal ones: {error}") from error
    arrays = [as_array(value) for value in values]
    for index, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise InputError(
                f"image {index} is {array.shape} and image 0 is {arrays[0].shape}; bring them to one size, or hand "
                f"them in one after the other"
            )
    return np.stack(arrays)


def _what_it_looks_like(shape: tuple[int, ...], channels: int) -> str:
    """A hint, for the error message, at what images of an unusable shape may be; '' if there is none."""
    if (len(shape) == 2 and channels == 1) or (len(shape) == 3 and shape[-1] == channels):
        return "; if this is one image, hand in image[None]"
    if len(shape) == 4 and shape[1] == channels:
        return "; if they are [N, channels, height, width], hand in images.transpose(0, 2, 3, 1)"
    return ""


def check_images(images: Images, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Brings images into the shape and range that the model was trained for.

    Args:
        images: anything that `as_array` takes, of shape `[N, height, width, channels]`, or `[N, height, width]` for
            grey; uint8 or float in [0, 1]. Images of another height or width are resized, with a warning.
        image_shape: height, width and channels of the training images.

    Returns:
        `[N, height, width, channels]` float32 in [0, 1].

    Raises:
        InputError: for other shapes, types, ranges or channels, or values that are not finite; it names the index.
    """
    height, width, channels = image_shape
    if isinstance(images, Image.Image):
        raise InputError("images are handed in as several, [N, height, width, channels]; if this is one, as [picture]")
    images = as_array(images)
    if images.ndim == 3 and channels == 1 and images.shape[-1] in (3, 4) and images.shape[-1] != width:
        raise InputError(
            f"images {images.shape} look like one of colours, but the model was trained on grey ones; convert it to "
            f"grey and hand in image[None]"
        )
    hint = _what_it_looks_like(images.shape, channels)
    if images.ndim == 3 and channels == 1 and (images.shape[-1] > 1 or width == 1):
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(
            f"expected images [N, height, width, {channels}] with N of 1 or more, not {images.shape}{hint}"
        )
    if images.shape[-1] != channels:
        raise InputError(
            f"the model was trained on {channels} channel(s), but these images have {images.shape[-1]}{hint}"
        )
    images = unit_images(images)
    if images.shape[1:3] != (height, width):
        warnings.warn(
            f"images of {images.shape[1]}×{images.shape[2]} are resized to the trained {height}×{width}", stacklevel=2
        )
        images = np.stack([resize(image, (height, width), "stretch") for image in images])
    return images.clip(0.0, 1.0)


def read_image(path: pathlib.Path, wanted: Format) -> np.ndarray:
    """Reads one image file as `[height, width, channels]` uint8.

    Args:
        path: path of the file.
        wanted: size and channels of the training images; an image of another size is resized, with a warning.

    Raises:
        InputError: if the file cannot be read or has other channels; it names the file.
    """
    try:
        pixels = read_pixels(path, wanted)
    except ImageError as error:
        raise InputError(str(error)) from error
    (height, width), size = pixels.shape[:2], wanted.size
    if size is None or size == (height, width):
        return pixels
    how = f"{size[0]}×{size[1]} ({HOW[wanted.fit]})"
    warnings.warn(f"{path} is {height}×{width} and is resized to the trained {how}", stacklevel=2)
    return resize(pixels, size, wanted.fit)


def list_files(path: pathlib.Path) -> list[pathlib.Path]:
    """Lists an image file, or all image files of a folder, sorted by name; other files are logged as not read.

    Raises:
        InputError: if the path does not exist, or the folder has no images; it names the path.
    """
    if path.is_dir():
        left_out: Counter[str] = Counter()
        try:
            files = image_files(path, left_out)
        except ImageError as error:
            raise InputError(str(error)) from error
        if below := images_below(path):
            left_out["in its folders"] += below
        if not files:
            others = f"; not read: {kinds_in_words(left_out)}" if left_out else ""
            raise InputError(f"{path} has no images ({', '.join(SUFFIXES)}, or DICOM without a suffix){others}")
        if left_out:
            log.warning("%s: not read: %s", path, kinds_in_words(left_out))
        return files
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    return [path]


def read_images(path: pathlib.Path, wanted: Format) -> tuple[np.ndarray, list[str]]:
    """Reads an image file, or all image files of a folder, sorted by name.

    Args:
        path: path of an image file, or of a folder of image files.
        wanted: size and channels of the training images, as `Explainer.image_format` has them.

    Returns:
        Images `[N, height, width, channels]` uint8 and the files' names.

    Raises:
        InputError: if a file cannot be read or has other channels, or the folder has no images; it names the path.
    """
    files = list_files(path)
    return np.stack([read_image(file, wanted) for file in files]), [file.name for file in files]


class Failure(NamedTuple):
    """An image that could not be explained: its name, and the reason."""

    name: str
    reason: str


@runtime_checkable
class Inputs(Protocol):
    """A sequence of images that are read by position when they are needed."""

    @property
    def names(self) -> Sequence[str]:
        """Names of all images, unique."""
        ...

    def digests(self, rows: Sequence[int]) -> list[str]:
        """SHA-256 of each row's contents; it does not matter whether they can be read as an image."""
        ...

    def read(self, rows: Sequence[int]) -> tuple[np.ndarray, list[int], list[Failure]]:
        """Reads the images of some rows.

        Returns:
            Images `[n, height, width, channels]` uint8, the n rows that could be read, and a failure for each other.
        """
        ...


@runtime_checkable
class FromFiles(Protocol):
    """Inputs that know the whole pictures of their images."""

    def picture(self, row: int) -> Picture | None:
        """The picture that an image was made of; None where the image is all of it, or there is no file of it."""
        ...


def read_whole(path: pathlib.Path, wanted: Format) -> Picture | None:
    """Reads the picture that an image was made of; None where the image has its size, or where it cannot be read."""
    try:
        pixels = read_pixels(path, wanted)
    except ImageError as error:
        log.warning("%s; its page shows the image alone", error)
        return None
    size, shape = wanted.size, pixels.shape[:2]
    return None if size is None or size == shape else Picture(pixels, place_of(shape, size, wanted.fit))


def _digest_or_none(path: pathlib.Path) -> str:
    try:
        return file_digest(path)
    except OSError:  # reported when the file is read
        return ""


class FileInputs:
    """Image files as `Inputs`; a file that cannot be read becomes a `Failure`, and the others are still read."""

    def __init__(self, path: pathlib.Path, wanted: Format, limit: int | None = None):
        self._files, self._format = list_files(path)[:limit], wanted
        self.names = [file.name for file in self._files]

    def digests(self, rows: Sequence[int]) -> list[str]:
        """SHA-256 of each file; '' for a file that cannot be opened."""
        return [_digest_or_none(self._files[row]) for row in rows]

    def picture(self, row: int) -> Picture | None:
        """The whole picture of an image, as `FromFiles.picture` has it."""
        return read_whole(self._files[row], self._format)

    def read(self, rows: Sequence[int]) -> tuple[np.ndarray, list[int], list[Failure]]:
        """Reads the images of some rows: images, rows that could be read, and failures, as `Inputs.read` does."""
        images, good, failures = [], [], []
        with warnings.catch_warnings(record=True) as resized:
            warnings.simplefilter("always")
            for row in rows:
                try:
                    images.append(read_image(self._files[row], self._format))
                    good.append(row)
                except InputError as error:
                    failures.append(Failure(self.names[row], str(error)))
        if resized:
            others = f" (and {len(resized) - 1} more)" if len(resized) > 1 else ""
            warnings.warn(f"{resized[0].message}{others}", stacklevel=2)
        if not images:
            return np.empty((0, *(self._format.size or (0, 0)), self._format.channels), np.uint8), [], failures
        return np.stack(images), good, failures


def _name(file: pathlib.Path, inside: str | None) -> str:
    """A file's name, with `/` between folders; from a folder where it is inside of it."""
    whole = os.path.abspath(file)
    return (whole.removeprefix(inside) if inside and whole.startswith(inside) else str(file)).replace(os.sep, "/")


class SplitInputs:
    """Rows of a data set's split, as `Inputs`; named by their files or, where they have none, by their positions."""

    def __init__(
        self,
        source: ImageSource,
        split: str,
        rows: Sequence[int],
        root: pathlib.Path | None = None,
        wanted: Format | None = None,
    ):
        """Checks the rows.

        Args:
            source: the split.
            split: name of the split.
            rows: positions in the split.
            root: folder that files' names are relative to; None for whole paths.
            wanted: what the source brings its files to; None where they are no image files.

        Raises:
            InputError: for a position that the split does not have.
        """
        for row in rows:
            if not 0 <= row < len(source):
                raise InputError(f"--index {row}: the {split} split has images 0 to {len(source) - 1}")
        self._source, self._rows = source, np.asarray(rows, np.int64)
        self._files, self._format = list(map(pathlib.Path, image_names(source, rows, split))), wanted
        inside = os.path.join(os.path.abspath(root), "") if root else None
        self.names = [_name(file, inside) for file in self._files]

    def digests(self, rows: Sequence[int]) -> list[str]:
        """SHA-256 of the pixels of each image; '' for one that cannot be read."""
        digest = lambda image: hashlib.sha256(image.tobytes()).hexdigest()  # noqa: E731
        images, good, _ = self.read(rows)
        known = dict(zip(good, map(digest, images), strict=True))
        return [known.get(row, "") for row in rows]

    def picture(self, row: int) -> Picture | None:
        """The whole picture of an image, as `FromFiles.picture` has it."""
        return read_whole(self._files[row], self._format) if self._format else None

    def read(self, rows: Sequence[int]) -> tuple[np.ndarray, list[int], list[Failure]]:
        """Reads the images of some rows: images, rows that could be read, and failures, as `Inputs.read` does."""
        try:
            return self._source.take(self._rows[np.asarray(rows)]), list(rows), []
        except ImageError:
            return self._one_by_one(rows)

    def _one_by_one(self, rows: Sequence[int]) -> tuple[np.ndarray, list[int], list[Failure]]:
        """Reads the images singly, since at least one of them cannot be read."""
        images, good, failures = [], [], []
        for row in rows:
            try:
                images.append(self._source.take(self._rows[[row]]))
                good.append(row)
            except ImageError as error:
                failures.append(Failure(self.names[row], str(error)))
        return np.concatenate(images) if images else np.empty((0, 0, 0, 0), np.uint8), good, failures
