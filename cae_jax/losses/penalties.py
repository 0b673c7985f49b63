"""Penalties that steady the discriminator."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def gradient_penalty(
    score: Callable[[jax.Array], jax.Array], images: Float[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """R1: half the squared norm of the score's gradient at real images (Mescheder et al. 2018, arXiv 1801.04406).

    Args:
        score: function from images to one number each, `[batch]`; samples must not influence each other.
        images: real images.
    """
    gradients = jax.grad(lambda x: score(x).sum())(images)
    return 0.5 * jnp.square(gradients).sum((1, 2, 3))
