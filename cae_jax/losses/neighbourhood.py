"""A loss without parameters that gathers class codes by class."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def neighbourhood_loss(class_codes: Float[Array, "batch size"], labels: Int[Array, " batch"]) -> Float[Array, " batch"]:
    """Negative log of the chance that a code's soft nearest neighbour in the batch has its class, in nats.

    Neighbourhood components analysis (Goldberger et al., NeurIPS 2004) with squared Euclidean distances. A code that is
    alone with its class in the batch contributes 0.
    """
    squares = jnp.square(class_codes).sum(-1)
    distances = squares[:, None] + squares[None, :] - 2.0 * class_codes @ class_codes.T
    itself = jnp.eye(len(labels), dtype=bool)
    same = (labels[:, None] == labels[None, :]) & ~itself
    logits = jnp.where(itself, -jnp.inf, -distances)
    # A row without a partner would be log 0, whose gradient is not a number even where it is not used.
    alone = ~same.any(-1, keepdims=True)
    chosen = jax.nn.logsumexp(jnp.where(same | (alone & ~itself), logits, -jnp.inf), axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - chosen
