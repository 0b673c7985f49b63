"""Saliency maps from a counterfactual, signed where that has a meaning; one value a pixel."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.ndimage import gaussian_filter

GRID = 14  # cells along the longer side, at most


def reconstruction_saliency(
    counterfactual: Float[Array, "batch height width channels"],
    reconstruction: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width"]:
    """What was added (positive) or removed, in [-1, 1]: counterfactual minus reconstruction.

    Both come from the decoder, so that its errors cancel.
    """
    return (counterfactual - reconstruction).mean(-1)


def input_saliency(
    counterfactual: Float[Array, "batch height width channels"], images: Float[Array, "batch height width channels"]
) -> Float[Array, "batch height width"]:
    """As published: |counterfactual - exemplar|, in [0, 1]. It holds the reconstruction's errors too."""
    return jnp.abs(counterfactual - images).mean(-1)


def path_saliency(
    path: Float[Array, "batch steps height width channels"], probabilities: Float[Array, "batch steps"]
) -> Float[Array, "batch height width"]:
    """The change from image to image along a path, each weighted by how much the target gained there, in [-1, 1].

    What changes while the classifier does not care weighs nothing.

    Args:
        path: images from the reconstruction to the counterfactual.
        probabilities: of the target in each.
    """
    gains = jnp.diff(probabilities, axis=1)
    changes = jnp.diff(path.mean(-1), axis=1)
    shares = gains / jnp.maximum(jnp.abs(gains).sum(1, keepdims=True), 1e-6)
    return (shares[:, :, None, None] * changes).sum(1)


def log_odds(probabilities: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """log p / (1 - p) in nats; what float32 cannot tell from 0 or 1 ends at about ±16."""
    tiny = 1e-7
    return jnp.log(jnp.maximum(probabilities, tiny)) - jnp.log(jnp.maximum(1.0 - probabilities, tiny))


def relevance(
    path: Float[Array, "batch steps height width channels"],
    sensitivities: Float[Array, "batch steps height width channels"],
) -> Float[Array, "batch height width"]:
    """What each pixel's change along a path of images brought to an answer; positive where it spoke for it.

    Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365), which begin at the counterfactual and not at a
    blank image: the sum over all pixels is the answer at the path's end less that at its start, up to the error of
    the trapezoidal rule.

    Args:
        path: images, from the counterfactual to the exemplar.
        sensitivities: gradients of the answer in each, for instance of the exemplar's class in `log_odds`.

    Returns:
        In the units of the answer.
    """
    means = (sensitivities[:, 1:] + sensitivities[:, :-1]) / 2.0
    return (jnp.diff(path, axis=1) * means).sum((1, -1))


def smooth(saliency: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs maps `[M, height, width]` by a Gaussian of a width in pixels; 0 leaves them as they are."""
    return gaussian_filter(saliency, (0.0, sigma, sigma)) if sigma else saliency


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
