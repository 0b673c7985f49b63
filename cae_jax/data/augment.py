"""Random changes of training images that keep their class."""

import numpy as np


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
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    tops, lefts = rng.integers(0, 2 * most + 1, (2, batch))
    rows = tops[:, None] + np.arange(height)
    columns = lefts[:, None] + np.arange(width)
    return padded[np.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]


def flip_horizontally(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrors about half of the images `[batch, height, width, channels]` left to right."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
