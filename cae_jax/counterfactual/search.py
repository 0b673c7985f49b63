"""Finds where, along a guided path, the classifier's answer flips and where the target becomes confident."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from cae_jax.types import Predict

Decode = Callable[[jax.Array, jax.Array], jax.Array]


class Crossings(NamedTuple):
    """What a search found, all `[batch]`; shifts are NaN where there is none.

    Attributes:
        flip_shift: the first shift at which the answer has flipped.
        shift: the first shift at which the target's probability reaches the confidence.
        start_prediction: the class of the image at shift 0, the reconstruction.
    """

    flip_shift: jax.Array
    shift: jax.Array
    start_prediction: jax.Array


def along_path(
    start: Float[Array, "batch size"], end: Float[Array, "batch size"], shift: Float[Array, " batch"]
) -> Float[Array, "batch size"]:
    """Class codes at a shift from the exemplar's own (0) to the path's end (1), on a straight line."""
    return start + shift[:, None] * (end - start)


def search(
    decode: Decode,
    predict: Predict,
    individual_code: Float[Array, "batch ..."],
    start: Float[Array, "batch size"],
    end: Float[Array, "batch size"],
    prediction: Int[Array, " batch"],
    target: Int[Array, " batch"],
    any_flip: bool,
    *,
    confidence: float = 0.9,
    tolerance: float = 1 / 256,
    intervals: int = 16,
) -> Crossings:
    """Searches a batch of paths at once: a scan brackets the first crossings, bisection pins them down.

    Pure and traceable; the caller jits it. A crossing that comes and goes within one of the scan's intervals is missed.

    Args:
        decode: individual and class codes to images in [0, 1].
        predict: images to probabilities `[batch, K]`.
        individual_code: of the exemplars, held fixed.
        start: the exemplars' class codes.
        end: the references' class codes.
        prediction: the exemplars' classes.
        target: the class whose probability must become confident.
        any_flip: whether every class but the exemplar's counts as a flip, or the target alone.
        confidence: see `Crossings.shift`.
        tolerance: of both shifts, at most; they are reported from the far side, where the crossing has happened.
        intervals: of the scan.
    """

    def crossed(shift: jax.Array) -> tuple[jax.Array, jax.Array]:
        probabilities = predict(decode(individual_code, along_path(start, end, shift)))
        answer = probabilities.argmax(-1)
        flipped = answer != prediction if any_flip else answer == target
        reached = jnp.take_along_axis(probabilities, target[:, None], axis=-1)[:, 0] >= confidence
        return jnp.stack([flipped, flipped & reached]), answer

    batch = start.shape[0]
    shifts = jnp.linspace(0.0, 1.0, intervals + 1)
    hits, answers = jax.lax.map(lambda shift: crossed(jnp.full((batch,), shift)), shifts)
    first = hits.argmax(0)  # [2, batch]: of the flip, and of the confident point
    found = hits.any(0)
    low, high = shifts[jnp.maximum(first - 1, 0)], shifts[first]

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        beyond = jnp.stack([crossed(middle[0])[0][0], crossed(middle[1])[0][1]])
        return jnp.where(beyond, low, middle), jnp.where(beyond, middle, high)

    rounds = max(math.ceil(math.log2(1.0 / (intervals * tolerance))), 0)
    _, high = jax.lax.fori_loop(0, rounds, halve, (low, high))
    flip_shift, shift = jnp.where(found, high, jnp.nan)
    return Crossings(flip_shift, shift, answers[0])
