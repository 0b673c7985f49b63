"""Differences of images and codes: the coherency loss of class association embedding, and what goes beside it.

Published: Xie et al., ICDE 2024, arXiv 2406.07961, section 3. All losses are of each sample.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

FAINT = 0.2  # a change, of [-1, 1], at which the next bit of change costs half as much as the first


def absolute_error(
    prediction: Float[Array, "batch *shape"],  # noqa: F821  jaxtyping's shapes are no expressions
    target: Float[Array, "batch *shape"],  # noqa: F821
) -> Float[Array, " batch"]:
    """Mean absolute difference, in the units of what is compared.

    Of four kinds in the published recipe: reconstructions and the images whose codes they are of; class codes read back
    from swaps and those of the donors; individual codes read back from swaps and those of the exemplars; images and
    themselves after their class was swapped away and back (cycles). Targets are not detached: the gradient reaches both
    sides, as published.
    """
    return jnp.abs(prediction - target).mean(axis=tuple(range(1, prediction.ndim)))


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
