"""Saliency maps from a counterfactual, signed where that has a meaning; one value a pixel."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.ndimage import gaussian_filter


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
