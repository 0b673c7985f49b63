"""Cross-entropies: of the discriminator's two heads, of the classifier on swaps; divergences."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def cross_entropy(logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]) -> Float[Array, " batch"]:
    """Softmax cross-entropy with integer labels, in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def probability_cross_entropy(
    probabilities: Float[Array, "batch classes"], labels: Int[Array, " batch"]
) -> Float[Array, " batch"]:
    """The same from probabilities, for classifiers that return nothing else; a probability of 0 counts as 1e-30."""
    chosen = jnp.take_along_axis(probabilities, labels[:, None], axis=-1)[:, 0]
    return -jnp.log(jnp.maximum(chosen, 1e-30))


def prediction_divergence(
    reference: Float[Array, "batch classes"], probabilities: Float[Array, "batch classes"]
) -> Float[Array, " batch"]:
    """Kullback-Leibler divergence of predictions from those that they should repeat, in nats.

    The classifier's doubts count, not only its answers (distillation, Hinton et al. 2015, arXiv 1503.02531).
    """
    log = lambda p: jnp.log(jnp.maximum(p, 1e-30))  # noqa: E731
    return (reference * (log(reference) - log(probabilities))).sum(-1)
