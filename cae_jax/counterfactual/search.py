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


class _Slots(NamedTuple):
    """Rows being searched, one a slot, and what is known of each.

    A crossing lies above `low` and not above `high`, which is infinite until a shift beyond the crossing is met. The
    first line is of the flip, the second of the confident point.
    """

    row: jax.Array  # [slots]; the number of rows where the slot is empty
    scanned: jax.Array  # [slots], shifts of the scan that are done
    low: jax.Array  # [2, slots]
    high: jax.Array  # [2, slots]
    start_prediction: jax.Array  # [slots], -1 until known
    finite: jax.Array  # [slots]
    decodes: jax.Array  # [slots]

    @staticmethod
    def of(row: jax.Array) -> "_Slots":
        """Slots that begin with rows."""
        zero = jnp.zeros_like(row)
        low = jnp.zeros((2, len(row)))
        return _Slots(row, zero, low, jnp.full_like(low, jnp.inf), zero - 1, jnp.ones_like(row, bool), zero)


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
    slots: int | None = None,
    while_loop: WhileLoop = jax.lax.while_loop,
) -> Crossings:
    """Searches many paths at once: a scan brackets each one's first crossings, bisection pins them down.

    A round decodes and classifies one shift of every row that is in a slot; a row that is done hands its slot to the
    next in line. Pure, and traceable where `decode` and `predict` are; the caller jits it, or hands in
    `host_while_loop`. A row whose start is not of the exemplar's class is done at once. A crossing that comes and goes
    within one of the scan's intervals is missed.

    Args:
        decode: individual and class codes to images in [0, 1].
        predict: images to probabilities `[slots, K]`.
        individual_code: of the exemplars, held fixed.
        waypoints: from the exemplars' class codes to the references'.
        prediction: the exemplars' classes.
        target: the class whose probability must become confident.
        any_flip: whether every class but the exemplar's counts as a flip, or the target alone.
        active: False for rows that only fill the batch; nothing is found there.
        confidence: see `Crossings.shift`.
        tolerance: of both shifts, at most, and not finer than 2⁻²²; they are reported from the far side, where the
            crossing has happened.
        intervals: of the scan.
        slots: rows decoded together, which bounds the memory; None takes all rows.
        while_loop: `jax.lax.while_loop` or `host_while_loop`.
    """
    batch = prediction.shape[0]
    slots = min(slots or batch, batch)
    finest = jnp.maximum(tolerance, 2.0**-22)  # finer than float32 tells shifts apart, halving would not end
    queue = jnp.argsort(~active, stable=True).astype(jnp.int32)
    waiting = active.sum(dtype=jnp.int32)

    def rows_in_line(places: jax.Array) -> jax.Array:
        return jnp.where(places < waiting, queue[jnp.minimum(places, batch - 1)], batch)

    def open_brackets(s: _Slots) -> tuple[jax.Array, jax.Array]:
        """Whether each slot's scan goes on, and which brackets `[2, slots]` are to be halved."""
        known = s.start_prediction >= 0
        lost = known & (s.start_prediction != prediction[jnp.minimum(s.row, batch - 1)])
        found = jnp.isfinite(s.high)
        scanning = (s.scanned <= intervals) & ~found.all(0) & ~lost
        return scanning, found & (s.high - s.low > finest) & ~lost[None]

    def round_of(state):
        s, next_place, results = state
        row = jnp.minimum(s.row, batch - 1)
        scanning, wide = open_brackets(s)
        middle = jnp.where(wide[0], s.low[0] + s.high[0], s.low[1] + s.high[1]) / 2
        shift = jnp.where(scanning, s.scanned / intervals, jnp.where(wide.any(0), middle, 0.0)).astype(jnp.float32)
        probabilities = predict(decode(individual_code[row], along_path(waypoints[row], shift)))
        answer = probabilities.argmax(-1).astype(jnp.int32)
        flipped = jnp.where(any_flip[row], answer != prediction[row], answer == target[row])
        reached = jnp.take_along_axis(probabilities, target[row, None], axis=-1)[:, 0] >= confidence
        hits = jnp.stack([flipped, flipped & reached])
        inside = (s.low <= shift[None]) & (shift[None] < s.high)
        s = s._replace(
            scanned=jnp.where(scanning, s.scanned + 1, s.scanned),
            low=jnp.where(inside & ~hits, shift[None], s.low),
            high=jnp.where(inside & hits, shift[None], s.high),
            start_prediction=jnp.where(s.start_prediction < 0, answer, s.start_prediction),
            finite=s.finite & jnp.isfinite(probabilities).all(-1),
            decodes=s.decodes + 1,
        )
        scanning, wide = open_brackets(s)
        done = ~scanning & ~wide.any(0)
        results = Crossings(
            *(
                whole.at[jnp.where(done, s.row, batch)].set(value, mode="drop")
                for whole, value in zip(
                    results, (s.high[0], s.high[1], s.start_prediction, s.finite, s.decodes), strict=True
                )
            )
        )
        fresh = _Slots.of(rows_in_line(next_place + jnp.cumsum(done, dtype=jnp.int32) - 1))
        s = _Slots(
            *(jnp.where(done if new.ndim == 1 else done[None], new, old) for new, old in zip(fresh, s, strict=True))
        )
        return s, next_place + done.sum(dtype=jnp.int32), results

    nothing = Crossings(
        jnp.full(batch, jnp.inf),
        jnp.full(batch, jnp.inf),
        jnp.zeros(batch, jnp.int32),
        jnp.ones(batch, bool),
        jnp.zeros(batch, jnp.int32),
    )
    begin = (_Slots.of(rows_in_line(jnp.arange(slots, dtype=jnp.int32))), jnp.asarray(slots, jnp.int32), nothing)
    *_, results = while_loop(lambda state: (state[0].row < batch).any(), round_of, begin)
    lost = results.start_prediction != prediction
    shifts = (jnp.where(jnp.isinf(x) | lost, jnp.nan, x) for x in (results.flip_shift, results.shift))
    return Crossings(*shifts, *results[2:])
