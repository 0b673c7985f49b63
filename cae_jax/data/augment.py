"""Random changes of training images that keep their class."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Changes a batch of uint8 images `[batch, height, width, channels]` with randomness from a generator."""


def shift(images: np.ndarray, rng: np.random.Generator, most: int) -> np.ndarray:
    """Moves each image by up to `most` pixels in both directions, repeating edge pixels.

    Args:
        images: `[batch, height, width, channels]`, any dtype.
        rng: source of randomness.
        most: 0 returns the images as they are.
    """
    if most == 0:
        return images
    batch, height, width, _ = images.shape
    tops, lefts = rng.integers(0, 2 * most + 1, (2, batch)) - most
    rows = np.clip(tops[:, None] + np.arange(height), 0, height - 1)
    columns = np.clip(lefts[:, None] + np.arange(width), 0, width - 1)
    return images[np.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]


def flip_horizontally(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrors about half of the images `[batch, height, width, channels]` left to right."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def rotate(images: np.ndarray, rng: np.random.Generator, most: float) -> np.ndarray:
    """Turns each image about its centre by up to `most` degrees either way, bilinear, repeating edge pixels.

    Args:
        images: `[batch, height, width, channels]` uint8.
        rng: source of randomness.
        most: 0 returns the images as they are.
    """
    if most == 0:
        return images
    centre = (np.asarray(images.shape[1:3]) - 1) / 2
    turned = np.empty_like(images)
    for i, angle in enumerate(np.deg2rad(rng.uniform(-most, most, len(images)))):
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        for c in range(images.shape[-1]):
            ndimage.affine_transform(
                images[i, ..., c],
                matrix,
                tuple(centre - matrix @ centre),  # type: ignore[arg-type]
                order=1,
                mode="nearest",
                output=turned[i, ..., c],
            )
    return turned


def make_augment(max_shift: int, max_rotation: float, mirror: bool) -> Augment:
    """Puts the changes together: rotation in degrees, shift in pixels, mirroring."""

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        images = shift(rotate(images, rng, max_rotation), rng, max_shift)
        return flip_horizontally(images, rng) if mirror else images

    return augment
