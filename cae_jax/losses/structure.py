"""The structure loss: how unlike images are in what varies from place to place."""

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


def structure_loss(
    prediction: Float[Array, "batch height width channels"], target: Float[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """1 less the structural similarity (SSIM, Wang et al. 2004) of images; not part of the published recipe.

    A difference costs the more the less an image varies around it, so that fine and faint structure is drawn as well
    (Zhao et al. 2017, arXiv 1511.08861). Windows are `metrics.structural_similarity`'s, here as products of matrices:
    convolutions of a single channel are slow.

    Args:
        prediction: images in [-1, 1].
        target: likewise.
    """
    height, width = target.shape[1:3]
    window = min(WINDOW, min(height, width) - 1 + min(height, width) % 2)
    rows, columns = _windows(height, window), _windows(width, window)

    def means(x: chex.Array) -> jax.Array:
        along_columns = jnp.einsum("ih,bhwc->biwc", rows, x, precision="highest")
        return jnp.einsum("jw,biwc->bijc", columns, along_columns, precision="highest")

    return 1.0 - jnp.asarray(dm_pix.ssim(0.5 + prediction / 2, 0.5 + target / 2, filter_fn=means))
