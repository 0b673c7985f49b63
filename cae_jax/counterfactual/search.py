"""Finds where, along a guided path, the classifier's answer flips and where the target becomes confident."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cae_jax.counterfactual.paths import along_path
from cae_jax.types import Predict

Decode = Callable[[jax.Array, jax.Array], jax.Array]
HostPredict = Callable[[jax.Array], np.ndarray]
WhileLoop = Callable[[Callable[[Any], Any], Callable[[Any], Any], Any], Any]


class Crossings(NamedTuple):
    """What a search found, all `[batch]`; shifts are NaN where there is none.

    Attributes:
        flip_shift: the first shift at which the answer has flipped.
        shift: the first shift at which the target's probability reaches the confidence.
        start_prediction: the class of the image at shift 0, the reconstruction.
        finite: whether all of the classifier's answers were finite numbers.
        decodes: how many images were decoded and classified for the row.
    """

    flip_shift: jax.Array | np.ndarray
    shift: jax.Array | np.ndarray
    start_prediction: jax.Array | np.ndarray
    finite: jax.Array | np.ndarray
    decodes: jax.Array | np.ndarray


def host_while_loop(condition: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
    """`jax.lax.while_loop` as a Python loop, for a `predict` that JAX cannot trace."""
    while condition(state):
        state = body(state)
    return state


def search(
    decode: Decode,
    predict: Predict | HostPredict,
    individual_code: Float[Array, "batch ..."],
    waypoints: Float[Array, "batch points size"],
    prediction: Int[Array, " batch"],
    target: Int[Array, " batch"],
    any_flip: Bool[Array, " batch"],
    active: Bool[Array, " batch"],
    *,
    confidence: float | Float[Array, ""] = 0.9,
    tolerance: float | Float[Array, ""] = 1 / 256,
    intervals: int = 16,
    while_loop: WhileLoop = jax.lax.while_loop,
) -> Crossings:
    """Searches a batch of paths in lockstep: a scan brackets the first crossings, bisection pins them down.

    Pure, and traceable where `decode` and `predict` are; the caller jits it, or hands in `host_while_loop`. Either way
    a round is one call of `decode` and `predict` for the whole batch, and it ends as soon as every row is done. A row
    whose start is not of the exemplar's class is done at once. A crossing that comes and goes within one of the scan's
    intervals is missed.

    Args:
        decode: individual and class codes to images in [0, 1].
        predict: images to probabilities `[batch, K]`.
        individual_code: of the exemplars, held fixed.
        waypoints: from the exemplars' class codes to the references'.
        prediction: the exemplars' classes.
        target: the class whose probability must become confident.
        any_flip: whether every class but the exemplar's counts as a flip, or the target alone.
        active: False for rows that only fill the batch; nothing is found there.
        confidence: see `Crossings.shift`.
        tolerance: of both shifts, at most; they are reported from the far side, where the crossing has happened.
        intervals: of the scan.
        while_loop: `jax.lax.while_loop` or `host_while_loop`.
    """
    batch = prediction.shape[0]

    def crossed(shift: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """At `[2, batch]` shifts: flipped and confident there, respectively; answers and finiteness of the first."""
        rows = jnp.arange(shift.size) % batch
        images = decode(individual_code[rows], along_path(waypoints[rows], shift.reshape(-1)))
        probabilities = predict(images)
        answer = probabilities.argmax(-1)
        flipped = jnp.where(any_flip[rows], answer != prediction[rows], answer == target[rows])
        reached = jnp.take_along_axis(probabilities, target[rows, None], axis=-1)[:, 0] >= confidence
        hits = jnp.stack([flipped, flipped & reached]).reshape(2, -1, batch)
        finite = jnp.isfinite(probabilities).all(-1).reshape(-1, batch).all(0)
        return jnp.stack([hits[0, 0], hits[1, -1]]), answer[:batch], finite

    def scan_goes_on(state):
        number, *_, done = state
        return (number <= intervals) & ~done.all()

    def scan(state):
        number, first, start_prediction, finite, decodes, done = state
        hits, answer, is_finite = crossed(jnp.full((1, batch), number / intervals, jnp.float32))
        first = jnp.where(hits & (first < 0) & ~done, number, first)
        start_prediction = jnp.where(number == 0, answer, start_prediction).astype(start_prediction.dtype)
        lost = start_prediction != prediction
        return (
            number + 1,
            jnp.where(lost, -1, first),
            start_prediction,
            finite & (is_finite | done),
            decodes + 1,
            done | lost | (first >= 0).all(0),
        )

    nothing = jnp.full((2, batch), -1, jnp.int32)
    zero = jnp.zeros((), jnp.int32)
    state = (zero, nothing, jnp.zeros(batch, jnp.int32), jnp.ones(batch, bool), zero, ~active)
    _, first, start_prediction, finite, decodes, _ = while_loop(scan_goes_on, scan, state)

    def bisection_goes_on(state):
        low, high, *_ = state
        return (high - low > tolerance).any()

    def bisect(state):
        low, high, finite, decodes = state
        middle = (low + high) / 2
        beyond, _, is_finite = crossed(middle)
        return jnp.where(beyond, low, middle), jnp.where(beyond, middle, high), finite & is_finite, decodes + 2

    high = (first / intervals).astype(jnp.float32)
    low = jnp.where(first > 0, ((first - 1) / intervals).astype(jnp.float32), high)
    _, high, finite, decodes = while_loop(bisection_goes_on, bisect, (low, high, finite, decodes))
    flip_shift, shift = jnp.where(first >= 0, high, jnp.nan)
    return Crossings(flip_shift, shift, start_prediction, finite, jnp.where(active, decodes, 0))
