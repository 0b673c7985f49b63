"""Finds where, along a guided path, the classifier's answer flips and where the target becomes confident."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cae_jax.counterfactual.paths import along_path
from cae_jax.types import Predict

Decode = Callable[[jax.Array, jax.Array], jax.Array]
HostPredict = Callable[[jax.Array], np.ndarray]


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


class _Rows(NamedTuple):
    """What is searched, in the order in which it is served; see `search`."""

    individual_code: jax.Array
    waypoints: jax.Array
    prediction: jax.Array
    target: jax.Array
    any_flip: jax.Array
    queue: jax.Array  # [batch], the active ones first
    waiting: jax.Array  # how many are active

    def in_line(self, places: jax.Array) -> jax.Array:
        """The rows at places of the queue; beyond its end, the number of rows."""
        batch = len(self.queue)
        return jnp.where(places < self.waiting, self.queue[jnp.minimum(places, batch - 1)], batch)


class _State(NamedTuple):
    """Between two rounds: a round decodes and classifies one shift of every row that is in a slot."""

    slots: _Slots
    next_place: jax.Array  # in the queue
    results: Crossings  # infinite where nothing was found


class _Precision(NamedTuple):
    """How closely is searched; see `search`."""

    confidence: jax.Array
    finest: jax.Array
    intervals: jax.Array


def _begin(rows: _Rows, slots: int) -> _State:
    batch = len(rows.queue)
    nothing = Crossings(
        jnp.full(batch, jnp.inf),
        jnp.full(batch, jnp.inf),
        jnp.zeros(batch, jnp.int32),
        jnp.ones(batch, bool),
        jnp.zeros(batch, jnp.int32),
    )
    first = _Slots.of(rows.in_line(jnp.arange(slots, dtype=jnp.int32)))
    return _State(first, jnp.asarray(slots, jnp.int32), nothing)


def _unfinished(state: _State) -> jax.Array:
    return (state.slots.row < len(state.results.shift)).any()


def _open_brackets(s: _Slots, rows: _Rows, precision: _Precision) -> tuple[jax.Array, jax.Array]:
    """Whether each slot's scan goes on, and which brackets `[2, slots]` are to be halved."""
    own = rows.prediction[jnp.minimum(s.row, len(rows.queue) - 1)]
    lost = (s.start_prediction >= 0) & (s.start_prediction != own)
    found = jnp.isfinite(s.high)
    scanning = (s.scanned <= precision.intervals) & ~found.all(0) & ~lost
    return scanning, found & (s.high - s.low > precision.finest) & ~lost[None]


def _ask(decode: Decode, state: _State, rows: _Rows, precision: _Precision) -> tuple[jax.Array, jax.Array]:
    """The shifts `[slots]` that a round asks about, and their images."""
    s = state.slots
    row = jnp.minimum(s.row, len(rows.queue) - 1)
    scanning, wide = _open_brackets(s, rows, precision)
    middle = jnp.where(wide[0], s.low[0] + s.high[0], s.low[1] + s.high[1]) / 2
    shift = jnp.where(scanning, s.scanned / precision.intervals, jnp.where(wide.any(0), middle, 0.0))
    shift = shift.astype(jnp.float32)
    return shift, decode(rows.individual_code[row], along_path(rows.waypoints[row], shift))


def _learn(state: _State, rows: _Rows, precision: _Precision, shift: jax.Array, probabilities: jax.Array) -> _State:
    """What a round's answers narrow down; a row that is done hands its slot to the next in line."""
    s, next_place, results = state
    batch = len(rows.queue)
    row = jnp.minimum(s.row, batch - 1)
    scanning, _ = _open_brackets(s, rows, precision)
    answer = probabilities.argmax(-1).astype(jnp.int32)
    flipped = jnp.where(rows.any_flip[row], answer != rows.prediction[row], answer == rows.target[row])
    reached = jnp.take_along_axis(probabilities, rows.target[row, None], axis=-1)[:, 0] >= precision.confidence
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
    scanning, wide = _open_brackets(s, rows, precision)
    done = ~scanning & ~wide.any(0)
    learnt = (s.high[0], s.high[1], s.start_prediction, s.finite, s.decodes)
    results = Crossings(
        *(
            whole.at[jnp.where(done, s.row, batch)].set(value, mode="drop")
            for whole, value in zip(results, learnt, strict=True)
        )
    )
    fresh = _Slots.of(rows.in_line(next_place + jnp.cumsum(done, dtype=jnp.int32) - 1))
    s = _Slots(*(jnp.where(done if new.ndim == 1 else done[None], new, old) for new, old in zip(fresh, s, strict=True)))
    return _State(s, next_place + done.sum(dtype=jnp.int32), results)


def _prepare(
    individual_code: jax.Array,
    waypoints: jax.Array,
    prediction: jax.Array,
    target: jax.Array,
    any_flip: jax.Array,
    active: jax.Array,
    confidence: float | jax.Array,
    tolerance: float | jax.Array,
    intervals: int,
    slots: int | None,
) -> tuple[_State, _Rows, _Precision]:
    queue = jnp.argsort(~active, stable=True).astype(jnp.int32)
    waiting = active.sum(dtype=jnp.int32)
    rows = _Rows(individual_code, waypoints, prediction, target, any_flip, queue, waiting)
    finest = jnp.maximum(tolerance, 2.0**-22)  # finer than float32 tells shifts apart, halving would not end
    precision = _Precision(jnp.asarray(confidence), finest, jnp.asarray(intervals))
    return _begin(rows, min(slots or len(queue), len(queue))), rows, precision


def _finish(state: _State, rows: _Rows) -> Crossings:
    results = state.results
    lost = results.start_prediction != rows.prediction
    flip_shift, shift = (jnp.where(jnp.isinf(x) | lost, jnp.nan, x) for x in (results.flip_shift, results.shift))
    return results._replace(flip_shift=flip_shift, shift=shift)


def search(
    decode: Decode,
    predict: Predict,
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
) -> Crossings:
    """Searches many paths at once: a scan brackets each one's first crossings, bisection pins them down.

    A round decodes and classifies one shift of every row that is in a slot; a row that is done hands its slot to the
    next in line. Pure and traceable; the caller jits it. A row whose start is not of the exemplar's class is done at
    once. A crossing that comes and goes within one of the scan's intervals is missed.

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
    """
    state, rows, precision = _prepare(
        individual_code, waypoints, prediction, target, any_flip, active, confidence, tolerance, intervals, slots
    )

    def round_of(state: _State) -> _State:
        shift, images = _ask(decode, state, rows, precision)
        return _learn(state, rows, precision, shift, predict(images))

    return _finish(jax.lax.while_loop(_unfinished, round_of, state), rows)


_ask_compiled = jax.jit(_ask, static_argnums=0)
_learn_compiled = jax.jit(_learn)
_prepare_compiled = jax.jit(_prepare, static_argnames=("intervals", "slots"))


def search_on_host(
    decode: Decode,
    predict: HostPredict,
    *rows: Array,
    confidence: float | Float[Array, ""] = 0.9,
    tolerance: float | Float[Array, ""] = 1 / 256,
    intervals: int = 16,
    slots: int | None = None,
) -> Crossings:
    """`search` for a `predict` that JAX cannot trace: it is called between the compiled halves of a round."""
    state, table, precision = _prepare_compiled(
        *rows, confidence=confidence, tolerance=tolerance, intervals=intervals, slots=slots
    )
    while _unfinished(state):
        shift, images = _ask_compiled(decode, state, table, precision)
        state = _learn_compiled(state, table, precision, shift, jnp.asarray(predict(images)))
    return _finish(state, table)
