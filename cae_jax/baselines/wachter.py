"""Counterfactuals by optimising the pixels directly: close and confident, but possibly adversarial noise."""

import functools
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

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

_FIRST_WEIGHT, _GROWTH, _ROUNDS = 0.1, 4.0, 8  # the last weight is 1,638
_LEARNING_RATE = 0.02
_MARGIN = 1e-4  # added to the required log-probability, as rounding differs where the classifier is compiled otherwise


def pixel_search(
    classifier: WhiteBox,
    images: Array,
    targets: Array,
    *,
    confidence: float,
    steps: int = 150,
    batch_size: int = 64,
) -> np.ndarray:
    """Searches for the nearest image at which the target reaches the confidence, by Adam on the pixels.

    Wachter et al. 2018, "Counterfactual Explanations without Opening the Black Box", arXiv 1711.00399: minimises
    distance + weight x loss, and raises the weight until the target reaches the confidence. Here the distance is the
    squared Euclidean one, and the loss is how far the target's log-probability lies below that of the confidence. (The
    paper's squared difference of probabilities has a vanishing gradient where the classifier is sure of another class.)
    Pixels are clipped to [0, 1] after each step. Once an image has reached the confidence with one weight, it is
    optimised with one more, since it may have done so only in passing, and then no longer.

    Args:
        classifier: classifier to explain, with `logits`.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        targets: target class of each image, integers `[N]`.
        confidence: probability that the target must reach, in (0, 1].
        steps: number of Adam steps with each weight.
        batch_size: number of images in a compiled call.

    Returns:
        Images `[N, height, width, channels]` float32 in [0, 1]: the closest one at which the target reached the
        confidence; if it never did, the last one.

    Raises:
        ValueError: for input of another shape or range, targets that the classifier does not have, or scores that are
            not finite.
    """
    check_confidence(confidence)
    check_positive(steps=steps, batch_size=batch_size)
    unit = np.clip(unit_images(images), 0.0, 1.0)
    numbers = class_numbers(targets, len(unit), "targets")
    check_known(numbers, answer_shape(classifier.logits, unit), "targets")
    function = functools.partial(_search, classifier.logits, steps, confidence=confidence)
    found, finite = map_batches(function, unit, numbers, batch_size=min(batch_size, len(unit)))
    if not finite.all():
        raise ValueError(f"logits must be finite and have finite gradients; for image {finite.argmin()} they are not")
    return found


class _Search(NamedTuple):
    """The state of the search for each image."""

    images: jax.Array  # [batch, height, width, channels], the current images
    closest: jax.Array  # the closest images that reached the confidence; until one has, the latest image
    distance: jax.Array  # [batch], distance of `closest`; infinite until the confidence is reached
    weight: jax.Array  # [batch], current weight of the loss
    done: jax.Array  # [batch], whether the search has ended
    finite: jax.Array  # [batch], whether all scores and gradients so far were finite


@functools.partial(jax.jit, static_argnums=(0, 1))
def _search(
    logits: Logits, steps: int, originals: jax.Array, targets: jax.Array, *, confidence: jax.Array
) -> tuple[jax.Array, jax.Array]:
    optimizer = optax.adam(optax.linear_schedule(_LEARNING_RATE, 0.0, steps))
    aim = jnp.minimum(jnp.log(confidence) + _MARGIN, 0.0)

    def loss(images: jax.Array, weight: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        answers = jax.nn.log_softmax(logits(images))
        lacking = aim - jnp.take_along_axis(answers, targets[:, None], axis=-1)[:, 0]
        distance = jnp.square(images - originals).sum((1, 2, 3))
        return (distance + weight * jax.nn.relu(lacking)).sum(), (distance, lacking)

    def step(_: jax.Array, state: tuple[_Search, optax.OptState]) -> tuple[_Search, optax.OptState]:
        search, moments = state
        slope, (distance, lacking) = jax.grad(loss, has_aux=True)(search.images, search.weight)
        better = jnp.where(lacking <= 0.0, distance < search.distance, jnp.isinf(search.distance))
        updates, moments = optimizer.update(slope, moments)
        search = _Search(
            images=jnp.clip(search.images + cast(jax.Array, updates), 0.0, 1.0),
            closest=_choose(better, search.images, search.closest),
            distance=jnp.where((lacking <= 0.0) & better, distance, search.distance),
            weight=search.weight,
            done=search.done,
            finite=search.finite & jnp.isfinite(lacking) & jnp.isfinite(slope).all((1, 2, 3)),
        )
        return search, moments

    def round_of(state: tuple[_Search, jax.Array]) -> tuple[_Search, jax.Array]:
        search, number = state
        fresh = optimizer.init(search.images)
        after, _ = jax.lax.fori_loop(0, steps, step, (search, fresh))
        after = after._replace(weight=search.weight * _GROWTH, done=jnp.isfinite(search.distance))
        return _Search(*(_choose(search.done, old, new) for old, new in zip(search, after, strict=True))), number + 1

    def unfinished(state: tuple[_Search, jax.Array]) -> jax.Array:
        search, number = state
        return (number < _ROUNDS) & (~search.done & search.finite).any()

    batch = len(originals)
    begin = _Search(
        images=originals,
        closest=originals,
        distance=jnp.full(batch, jnp.inf),
        weight=jnp.full(batch, _FIRST_WEIGHT),
        done=jnp.zeros(batch, bool),
        finite=jnp.ones(batch, bool),
    )
    search, _ = jax.lax.while_loop(unfinished, round_of, (begin, jnp.zeros((), jnp.int32)))
    return search.closest, search.finite


def _choose(rows: jax.Array, first: jax.Array, second: jax.Array) -> jax.Array:
    """Rows of `first` where `rows` is true, else of `second`."""
    return jnp.where(rows.reshape(-1, *(1,) * (first.ndim - 1)), first, second)
