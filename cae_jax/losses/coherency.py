"""The coherency losses of class association embedding (Xie et al., ICDE 2024, arXiv 2406.07961, section 3).

All are mean absolute differences per sample. Targets are not detached: the gradient reaches both sides, as published.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FAINT = 0.2  # a change, of [-1, 1], at which the next bit of change costs half as much as the first


def _mean_absolute(prediction: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.abs(prediction - target).mean(axis=tuple(range(1, prediction.ndim)))


def image_reconstruction_loss(
    reconstructions: Float[Array, "batch height width channels"], images: Float[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """How far `D(c, s)` is from the image whose codes these are. In the units of the images."""
    return _mean_absolute(reconstructions, images)


def class_code_loss(
    swap_class_codes: Float[Array, "batch size"], donor_class_codes: Float[Array, "batch size"]
) -> Float[Array, " batch"]:
    """How far the class code read back from a swap is from the donor's, which the swap was drawn with."""
    return _mean_absolute(swap_class_codes, donor_class_codes)


def individual_code_loss(
    swap_individual_codes: Float[Array, "batch h w code"], exemplar_individual_codes: Float[Array, "batch h w code"]
) -> Float[Array, " batch"]:
    """How far the individual code read back from a swap is from the exemplar's, which the swap was drawn with."""
    return _mean_absolute(swap_individual_codes, exemplar_individual_codes)


def cycle_loss(
    cycles: Float[Array, "batch height width channels"], images: Float[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """How far an image is from itself after its class was swapped away and back. In the units of the images."""
    return _mean_absolute(cycles, images)


def proximity_loss(changes: Float[Array, "batch height width channels"]) -> Float[Array, " batch"]:
    """How much another class code changes an image, on average over its pixels; not part of the published recipe.

    `FAINT · log(1 + |change| / FAINT)`: least where the class is changed by what makes it, and nothing else (as the L1
    of Baumgartner et al. 2018, VA-GAN, arXiv 1711.08998). Being concave (Candès et al. 2008, arXiv 0711.1612), it
    prefers one strong change in the right place to faint ones in many.

    Args:
        changes: the swap minus the reconstruction, of images in [-1, 1].
    """
    return (FAINT * jnp.log1p(jnp.abs(changes) / FAINT)).mean((1, 2, 3))


def squared_error(
    prediction: Float[Array, "batch height width channels"], target: Float[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """Mean squared difference of images; not part of the published recipe.

    An L1 loss is least for the median, which in images of thin strokes is plain background; training stays there long.
    """
    return jnp.square(prediction - target).mean((1, 2, 3))
