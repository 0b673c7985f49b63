"""Counterfactuals by moving an autoencoder's code along the classifier's gradient."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.baselines.autoencoder import Autoencoder
from cae_jax.baselines.inputs import (
    Array,
    answer_shape,
    check_confidence,
    check_known,
    check_positive,
    class_numbers,
    unit_images,
)
from cae_jax.batching import map_batches
from cae_jax.types import Predict

_LONGEST, _DOUBLINGS, _HALVINGS = 4.0, 12, 10  # times the code's own length; the first step is 1/1024 of it


def latent_shift(
    autoencoder: Autoencoder,
    predict: Predict,
    images: Array,
    targets: Array,
    *,
    confidence: float = 0.9,
    batch_size: int = 64,
) -> np.ndarray:
    """Latent shift: the code moved in the direction in which the target's probability grows, until it is confident.

    Cohen et al. 2021, "Gifsplanation via Latent Shift", arXiv 2102.09475: the images of z + lambda d f(D(z)) / dz, for
    one gradient, at the code z of the image. Lambda is doubled until the target reaches the confidence, then bisected.
    Only the direction matters, so the gradient is that of the log-probability, and lambda is measured in lengths of z.

    Args:
        autoencoder: trained on such images.
        predict: images to probabilities; JAX must be able to trace it and take its gradient.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        targets: `[N]` whole numbers.
        confidence: the target's least probability.
        batch_size: images a compiled call.

    Returns:
        Images `[N, height, width, channels]` float32 in [0, 1]; where the confidence was not reached within 4 lengths
        of the code, the last one; where the reconstruction has it already, the reconstruction.

    Raises:
        ValueError: for input of another shape or range, or targets that the classifier does not have.
    """
    check_confidence(confidence)
    check_positive(batch_size=batch_size)
    unit = unit_images(images)
    numbers = class_numbers(targets, len(unit), "targets")
    check_known(numbers, answer_shape(predict, unit), "targets")
    function = functools.partial(_shift, autoencoder.encode, autoencoder.decode, predict, confidence=confidence)
    return map_batches(function, unit, numbers, batch_size=min(batch_size, len(unit)))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _shift(
    encode: Callable[[jax.Array], jax.Array],
    decode: Callable[[jax.Array], jax.Array],
    predict: Predict,
    images: jax.Array,
    targets: jax.Array,
    *,
    confidence: float,
) -> jax.Array:
    codes = encode(images)

    def probability(z: jax.Array) -> jax.Array:
        return jnp.take_along_axis(predict(decode(z)), targets[:, None], axis=-1)[:, 0]

    least = jnp.finfo(codes.dtype).tiny
    slope = jax.grad(lambda z: jnp.log(jnp.maximum(probability(z), least)).sum())(codes)
    steepness = jnp.linalg.norm(slope, axis=-1, keepdims=True)
    reach = _LONGEST * jnp.linalg.norm(codes, axis=-1, keepdims=True)
    longest = slope / jnp.maximum(steepness, least) * reach

    def reached(share: jax.Array) -> jax.Array:
        return probability(codes + share[:, None] * longest) >= confidence

    def double(_: jax.Array, bracket: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bracket
        found = reached(high)
        return jnp.where(found, low, high), jnp.where(found, high, jnp.minimum(2.0 * high, 1.0))

    def halve(_: jax.Array, bracket: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bracket
        middle = (low + high) / 2.0
        found = reached(middle)
        return jnp.where(found, low, middle), jnp.where(found, middle, high)

    first = jnp.full(len(images), 2.0**-_DOUBLINGS)
    bracket = jax.lax.fori_loop(0, _DOUBLINGS, double, (jnp.zeros_like(first), first))
    _, high = jax.lax.fori_loop(0, _HALVINGS, halve, bracket)
    share = jnp.where(reached(jnp.zeros_like(high)), 0.0, high)
    return decode(codes + share[:, None] * longest)
