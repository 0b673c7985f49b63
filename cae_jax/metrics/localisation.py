"""Localisation: whether saliency maps point to where the evidence is known to be.

All functions take saliency maps `[N, height, width]` and bool masks of the same shape, and return one value an image,
`[N]` in [0, 1]; higher is better. An empty mask gives NaN. All raise ValueError for other shapes or types.
"""

import numpy as np


def _check(saliency: np.ndarray, masks: np.ndarray) -> None:
    if saliency.ndim != 3 or saliency.shape != masks.shape or masks.dtype != bool:
        raise ValueError(
            f"saliency and masks (bool) must both be [N, height, width], "
            f"not {saliency.shape} and {masks.dtype} {masks.shape}"
        )


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


def pointing_game(saliency: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Pointing game: whether the map's maximum lies in the mask (Zhang et al. 2018, arXiv 1608.00507).

    With several equal maxima, the result is the share of them that lies in the mask: the expectation of choosing one at
    random.
    """
    _check(saliency, masks)
    highest = _flat(saliency) == _flat(saliency).max(-1, keepdims=True)
    share = (highest & _flat(masks)).sum(-1) / highest.sum(-1)
    return np.where(_flat(masks).any(-1), share, np.nan)


def _share_in_top(saliency: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts the pixels of a mask of k pixels that are among the k most relevant pixels; returns the count and k.

    Ties at the k-th place count by the expectation of breaking them at random.
    """
    flat, inside = _flat(saliency), _flat(masks)
    size = inside.sum(-1)
    threshold = np.take_along_axis(-np.sort(-flat, axis=-1), np.maximum(size - 1, 0)[:, None], axis=-1)
    above, level = flat > threshold, flat == threshold
    room = size - above.sum(-1)
    tied = (level & inside).sum(-1) * room / level.sum(-1)
    return (above & inside).sum(-1) + tied, size


def relevance_rank_accuracy(saliency: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of the k most relevant pixels that lie in the mask of k pixels (Arras et al. 2022, arXiv 2003.07258)."""
    _check(saliency, masks)
    return _divide(*_share_in_top(saliency, masks))


def relevance_mass_accuracy(saliency: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of the map's positive relevance that lies in the mask (Arras et al. 2022, arXiv 2003.07258).

    Negative values count as 0. A map without positive values gives NaN, too.
    """
    _check(saliency, masks)
    positive = np.maximum(_flat(saliency).astype(np.float64), 0.0)
    share = _divide((positive * _flat(masks)).sum(-1), positive.sum(-1))
    return np.where(_flat(masks).any(-1), share, np.nan)


def top_k_iou(saliency: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Intersection over union of the mask of k pixels and the k most relevant pixels."""
    _check(saliency, masks)
    common, size = _share_in_top(saliency, masks)
    return _divide(common, 2 * size - common)
