"""Structural similarity of images (SSIM, Wang et al. 2004): in training as a loss, at its end as a score."""

import chex
import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WIDTH = 1.5  # standard deviation of the Gaussian windows, in pixels
WINDOW = 11  # pixels, or the greatest odd number that fits into smaller images


def _windows(side: int, window: int) -> np.ndarray:
    """Weights `[places, side]` of the pixels along one side in a Gaussian window at each place that it fits into."""
    distances = np.arange(side) - window // 2 - np.arange(side - window + 1)[:, None]
    weights = np.where(np.abs(distances) <= window // 2, np.exp(-0.5 * np.square(distances / WIDTH)), 0.0)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def structural_similarity(
    images: Float[Array, "batch height width channels"], others: Float[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """Structural similarity of two images in [0, 1]; 1 for equal ones, higher is more alike.

    Means, variances and covariances are taken in Gaussian windows of 11 pixels, or of an odd number that fits into
    smaller images, with a standard deviation of 1.5, and the result is averaged over all places and channels. Windows
    are products of matrices, since convolutions of a single channel are slow.
    """
    height, width = images.shape[1:3]
    window = min(WINDOW, min(height, width) - 1 + min(height, width) % 2)
    rows, columns = _windows(height, window), _windows(width, window)

    def means(x: chex.Array) -> jax.Array:
        along_columns = jnp.einsum("ih,bhwc->biwc", rows, x, precision="highest")
        return jnp.einsum("jw,biwc->bijc", columns, along_columns, precision="highest")

    return jnp.asarray(dm_pix.ssim(images, others, filter_fn=means))
