"""The second judge: a support vector machine on pixels, which shares neither architecture nor training with networks.

It is fitted anew where it is needed, which takes a few seconds (`docs/experiments.md`), so nothing of it is kept.
scikit-learn takes seconds to import, so it is imported then.
"""

import functools
from collections.abc import Callable

import numpy as np

from cae_jax.images import to_unit
from cae_jax.types import ImageSource

SIDE = 32  # greatest side of the pictures it sees; larger images are averaged to that
COMPONENTS = 50  # principal components of the pixels
PENALTY = 10.0  # of training images on the wrong side
CHUNK = 256  # images read together

Classify = Callable[[np.ndarray], np.ndarray]
"""Images `[N, height, width, channels]`, uint8 or in [0, 1], to classes `[N]` int32."""


def small_pixels(images: np.ndarray) -> np.ndarray:
    """Flattens images to pixels `[N, values]` in [0, 1], averaged over squares where a side is longer than `SIDE`.

    Squares that reach beyond the image are filled by its edge.
    """
    unit = np.asarray(to_unit(images), np.float32)
    count, height, width, channels = unit.shape
    side = max(-(-max(height, width) // SIDE), 1)
    unit = np.pad(unit, ((0, 0), (0, -height % side), (0, -width % side), (0, 0)), mode="edge")
    squares = unit.reshape(count, unit.shape[1] // side, side, unit.shape[2] // side, side, channels)
    return squares.mean((2, 4)).reshape(count, -1)


def _read(source: ImageSource, rows: np.ndarray) -> np.ndarray:
    """`small_pixels` of some rows, read a few at a time."""
    parts = (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
    return np.concatenate([small_pixels(source.take(part)) for part in parts])


def svm_judge(train: ImageSource, most: int, seed: int) -> Classify | None:
    """A support vector machine with a Gaussian kernel on the principal components of pixels; fitted at its first call.

    Its settings were confirmed on validation digits, see "Where to stop on a path" in `docs/experiments.md`.

    Args:
        train: training images, whose own labels it learns.
        most: greatest number of them that it is fitted to, drawn at random where there are more; 0 for no judge.
        seed: seed of that draw, and of the principal components.

    Returns:
        The judge, or None.
    """
    if not most:
        return None

    @functools.cache
    def fitted() -> Classify:
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import SVC

        rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:most])
        labels = np.asarray(train.labels)[rows]
        if (labels == labels[0]).all():
            return lambda pixels: np.full(len(pixels), labels[0], np.int32)
        pixels = _read(train, rows)
        components = PCA(min(COMPONENTS, *pixels.shape), svd_solver="randomized", random_state=seed)
        machine = make_pipeline(components, SVC(C=PENALTY)).fit(pixels, labels)
        return lambda pixels: machine.predict(pixels).astype(np.int32)

    return lambda images: fitted()(small_pixels(images))
