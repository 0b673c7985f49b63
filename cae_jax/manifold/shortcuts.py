"""Correlations of class codes with simple properties of images, as candidates for shortcuts that a classifier takes."""

import numpy as np
from scipy.stats import rankdata

PROPERTIES = (
    "brightness",
    "contrast",
    "sharpness",
    "stroke width",
    "horizontal position",
    "vertical position",
    "width",
    "height",
)


def measure_properties(images: np.ndarray) -> np.ndarray:
    """Measures the properties of images `[N, height, width, channels]` in [0, 1]; returns `[N, len(PROPERTIES)]`.

    Brightness is the mean of the pixels, contrast their standard deviation, and sharpness the mean absolute difference
    of neighbouring pixels. Stroke width, in pixels, is twice the sum of the brightness above the darkest pixel over the
    total variation (that is, area over half the perimeter); it is 0 for a uniform image. Positions, width and height
    are the mean and the standard deviation of the coordinates weighted by brightness, as shares of the image's side; a
    black image has its positions in the middle, and width and height 0.
    """
    grey = images.mean(-1, dtype=np.float64)
    total = grey.sum((1, 2))
    sharpness = (np.abs(np.diff(grey, axis=1)).mean((1, 2)) + np.abs(np.diff(grey, axis=2)).mean((1, 2))) / 2
    columns = [grey.mean((1, 2)), grey.std((1, 2)), sharpness, _stroke_width(grey)]
    places, extents = [], []
    for axis in (2, 1):
        where = (np.arange(grey.shape[axis]) + 0.5) / grey.shape[axis]
        weight = grey.sum(3 - axis) / np.maximum(total, 1e-12)[:, None]
        mean = np.where(total > 0, weight @ where, 0.5)
        places.append(mean)
        extents.append(np.sqrt((weight * np.square(where - mean[:, None])).sum(1)))
    return np.stack([*columns, *places, *extents], axis=1)


def _stroke_width(grey: np.ndarray) -> np.ndarray:
    area = (grey - grey.min((1, 2), keepdims=True)).sum((1, 2))
    down, right = np.diff(grey, axis=1)[:, :, :-1], np.diff(grey, axis=2)[:, :-1]
    variation = np.hypot(down, right).sum((1, 2))
    return np.divide(2 * area, variation, out=np.zeros_like(area), where=variation > 0)


def rank_correlations(coordinates: np.ndarray, properties: np.ndarray) -> np.ndarray:
    """Spearman's rank correlations `[D, P]` in [-1, 1] of coordinates `[N, D]` with properties `[N, P]`.

    They are 0 where either is constant.
    """
    ranks = [rankdata(x, axis=0) for x in (coordinates, properties)]
    centred = [x - x.mean(0) for x in ranks]
    scale = np.sqrt(np.outer(*(np.square(x).sum(0) for x in centred)))
    return np.divide(centred[0].T @ centred[1], scale, out=np.zeros_like(scale), where=scale > 0)
