"""Counterfactuals by moving an autoencoder's code along the classifier's gradient."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.baselines.autoencoder import Autoencoder
from cae_jax.baselines.inputs import (
    Array,
    Logits,
    WhiteBox,
    answer_shape,
    check_confidence,
    check_known,
    check_positive,
    class_numbers,
)
from cae_jax.images import unit_images
from cae_jax.parallel.batching import map_batches

_LENGTHS = np.concatenate([[0.0], 4.0 * 2.0 ** np.arange(-12.0, 0.25, 0.25)]).astype(np.float32)
"""Lengths of the shift that are tried first, as multiples of the code's norm: 0, then 1/1024 to 4 in steps of 19 %."""

_HALVINGS = 10


def latent_shift(
    classifier: WhiteBox,
    images: Array,
    targets: Array,
    *,
    autoencoder: Autoencoder,
    confidence: float,
    batch_size: int = 64,
) -> np.ndarray:
    """Latent shift: moves the code along the gradient of the target's probability, until the target is confident.

    Cohen et al. 2021, "Gifsplanation via Latent Shift", arXiv 2102.09475: decodes z + lambda d f(D(z)) / dz, with a
    single gradient at the image's code z. Lambda runs through a fixed grid of growing values until the target reaches
    the confidence, and is then bisected. Only the gradient's direction matters, so that of the log-probability is used,
    and lambda is measured in units of the norm of z.

    Args:
        classifier: classifier to explain, with `logits`.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        targets: target class of each image, integers `[N]`.
        autoencoder: autoencoder trained on images of this kind.
        confidence: probability that the target must reach, in (0, 1].
        batch_size: number of images in a compiled call.

    Returns:
        Images `[N, height, width, channels]` float32 in [0, 1]. If the target is not confident anywhere up to 4 norms
        of the code, it is the image of the grid at which the target is most probable; if it is confident in the
        reconstruction already, it is the reconstruction.

    Raises:
        ValueError: for input of another shape or range, or targets that the classifier does not have.
    """
    check_confidence(confidence)
    check_positive(batch_size=batch_size)
    unit = unit_images(images)
    numbers = class_numbers(targets, len(unit), "targets")
    check_known(numbers, answer_shape(classifier.logits, unit), "targets")
    functions = autoencoder.encode, autoencoder.decode, classifier.logits
    function = functools.partial(_shift, *functions, confidence=confidence)
    return map_batches(function, unit, numbers, batch_size=min(batch_size, len(unit)))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _shift(
    encode: Callable[[jax.Array], jax.Array],
    decode: Callable[[jax.Array], jax.Array],
    logits: Logits,
    images: jax.Array,
    targets: jax.Array,
    *,
    confidence: jax.Array,
) -> jax.Array:
    codes = encode(images)

    def probability(z: jax.Array) -> jax.Array:
        return jnp.take_along_axis(jax.nn.softmax(logits(decode(z))), targets[:, None], axis=-1)[:, 0]

    least = jnp.finfo(codes.dtype).tiny
    slope = jax.grad(lambda z: jnp.log(jnp.maximum(probability(z), least)).sum())(codes)
    steepness = jnp.linalg.norm(slope, axis=-1, keepdims=True)
    direction = slope / jnp.maximum(steepness, least) * jnp.linalg.norm(codes, axis=-1, keepdims=True)

    def halve(_: jax.Array, bracket: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bracket
        middle = (low + high) / 2.0
        reached = probability(codes + middle[:, None] * direction) >= confidence
        return jnp.where(reached, low, middle), jnp.where(reached, middle, high)

    lengths = jnp.asarray(_LENGTHS)
    tried = jax.lax.map(lambda length: probability(codes + length * direction), lengths)  # [lengths, batch]
    reached = tried >= confidence
    place = jnp.where(reached.any(0), reached.argmax(0), tried.argmax(0))
    before = jnp.where(reached.any(0), jnp.maximum(place - 1, 0), place)
    _, high = jax.lax.fori_loop(0, _HALVINGS, halve, (lengths[before], lengths[place]))
    return decode(codes + high[:, None] * direction)
