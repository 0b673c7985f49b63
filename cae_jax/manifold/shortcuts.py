"""Which simple properties of images change with class codes: candidates for shortcuts that a classifier takes."""

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
    """Measures images `[N, height, width, channels]` in [0, 1]; `[N, len(PROPERTIES)]`.

    Brightness is the mean, contrast the standard deviation, sharpness the mean difference of neighbouring pixels.
    Stroke width, in pixels, is twice what is brighter than the darkest pixel over its total variation (area over half
    the perimeter), 0 of a uniform image. Position and width are the mean and the standard deviation of where the
    brightness is, as shares of the side; a black image has them in the middle and 0.
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

    0 where either does not vary.
    """
    ranks = [rankdata(x, axis=0) for x in (coordinates, properties)]
    centred = [x - x.mean(0) for x in ranks]
    scale = np.sqrt(np.outer(*(np.square(x).sum(0) for x in centred)))
    return np.divide(centred[0].T @ centred[1], scale, out=np.zeros_like(scale), where=scale > 0)
