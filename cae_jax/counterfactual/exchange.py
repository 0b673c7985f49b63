"""Relevance for a classifier that cannot be differentiated: cells of an image are exchanged, one after the other."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from cae_jax.counterfactual.saliency import log_odds

GRID = 14  # cells along the longer side, at most


def _cells(height: int, width: int) -> np.ndarray:
    """The number of each pixel's cell, `[height, width]`."""
    side = -(-max(height, width) // GRID)
    across = -(-width // side)
    return np.arange(height)[:, None] // side * across + np.arange(width) // side


def _losses(
    predict: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    other: np.ndarray,
    chosen: int,
    cells: np.ndarray,
    order: np.ndarray,
) -> np.ndarray:
    """What the log odds of a class lose with each cell of an order that is exchanged."""
    place = np.full(cells.max() + 1, len(order))
    place[order] = np.arange(len(order))
    exchanged = place[cells] < np.arange(len(order) + 1)[:, None, None]
    answers = predict(np.where(exchanged[..., None], other, image))
    return -np.diff(np.asarray(log_odds(jnp.asarray(answers[:, chosen], jnp.float32))))


def exchange_relevance(
    predict: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    counterfactuals: np.ndarray,
    classes: np.ndarray,
    seed: int = 0,
) -> np.ndarray:
    """What each pixel brought to an answer, against the counterfactual; positive where it spoke for it.

    Shapley values of cells (Štrumbelj & Kononenko 2014, "Explaining prediction models and individual predictions with
    feature contributions"), where a missing cell is the counterfactual's: the mean over a random order and its reverse
    of what the answer loses when the cell is exchanged. Within a cell it is shared out as pixels differ. The sum over
    all pixels is the log odds of the image less those of the counterfactual, as of `relevance`. Two answers are asked
    for a cell in which something differs, at most about 400 for an image.

    Args:
        predict: images in [0, 1] to probabilities `[batch, K]`.
        images: `[M, height, width, channels]`.
        counterfactuals: as many.
        classes: `[M]`, whose log odds are shared out.
        seed: of the orders.

    Returns:
        Maps `[M, height, width]` in nats.
    """
    cells = _cells(*images.shape[1:3])
    count, rng = int(cells.max()) + 1, np.random.default_rng(seed)
    maps = np.zeros(images.shape[:3], np.float32)
    for row, (image, other) in enumerate(zip(images, counterfactuals, strict=True)):
        change = np.abs(other - image).sum(-1)
        totals = np.bincount(cells.ravel(), weights=change.ravel(), minlength=count)
        forward = rng.permutation(np.flatnonzero(totals > 0))
        values = np.zeros(count)
        for order in (forward, forward[::-1]):
            values[order] += _losses(predict, image, other, int(classes[row]), cells, order) / 2
        values = np.divide(values, totals, out=np.zeros(count), where=totals > 0)
        maps[row] = values[cells] * change
    return maps
