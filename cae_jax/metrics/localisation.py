"""Does a map point to where the truth is known to be? Maps `[N, height, width]`, masks of the same shape, bool.

All return `[N]`, in [0, 1], higher is better; NaN for an empty mask, which nothing can be right about.
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
    """Whether the maximum lies in the mask (Zhang et al. 2018, arXiv 1608.00507).

    Of several equal maxima the share that does: the expectation of choosing one at random.
    """
    _check(saliency, masks)
    highest = _flat(saliency) == _flat(saliency).max(-1, keepdims=True)
    share = (highest & _flat(masks)).sum(-1) / highest.sum(-1)
    return np.where(_flat(masks).any(-1), share, np.nan)


def _share_in_top(saliency: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the mask among as many of the most relevant pixels, and the mask's size.

    Pixels that tie at the border of the top are counted by their expectation.
    """
    flat, inside = _flat(saliency), _flat(masks)
    size = inside.sum(-1)
    threshold = np.take_along_axis(-np.sort(-flat, axis=-1), np.maximum(size - 1, 0)[:, None], axis=-1)
    above, level = flat > threshold, flat == threshold
    room = size - above.sum(-1)
    tied = (level & inside).sum(-1) * room / level.sum(-1)
    return (above & inside).sum(-1) + tied, size


def relevance_rank_accuracy(saliency: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The share of the k most relevant pixels that lie in the mask of k (Arras et al. 2022, arXiv 2003.07258)."""
    _check(saliency, masks)
    return _divide(*_share_in_top(saliency, masks))


def relevance_mass_accuracy(saliency: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The share of all positive relevance that lies in the mask (Arras et al. 2022, arXiv 2003.07258).

    Relevance below 0 counts as none. A map without any is NaN as well.
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


def top_k_dice(saliency: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Dice's coefficient of the mask of k pixels and the k most relevant pixels: twice what they share, over 2k.

    With as many pixels as the mask, that is `relevance_rank_accuracy`.
    """
    return relevance_rank_accuracy(saliency, masks)
