"""Guided paths through class-code space, and the search along them: where the classifier's answer flips, and where the
target becomes confident.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cae_jax.counterfactual.certainty import odds_of
from cae_jax.parallel import rows
from cae_jax.types import Predict

Decode = Callable[[Any, jax.Array], jax.Array]
HostPredict = Callable[[jax.Array], np.ndarray]


def along_path(
    waypoints: Float[Array, "batch points size"], shift: Float[Array, " batch"]
) -> Float[Array, "batch size"]:
    """Class codes at a shift from the exemplar's own (0) to the path's end (1).

    Args:
        waypoints: 2 or more; a path with fewer repeats its last.
        shift: in [0, 1], a share of the path's length.
    """
    lengths = jnp.sqrt(jnp.square(jnp.diff(waypoints, axis=1)).sum(-1))
    reached = jnp.cumsum(lengths, axis=1)
    position = shift * reached[:, -1]
    segment = (reached[:, :-1] <= position[:, None]).sum(1)[:, None]
    pick = lambda x: jnp.take_along_axis(x, segment, axis=1)[:, 0]  # noqa: E731
    length, end = pick(lengths), pick(reached)
    fraction = jnp.where(length > 0, 1.0 - (end - position) / jnp.where(length > 0, length, 1.0), 0.0)
    fraction = jax.lax.clamp(0.0, fraction, 1.0)[:, None]
    start, stop = (
        jnp.take_along_axis(x, segment[:, :, None], axis=1)[:, 0] for x in (waypoints[:, :-1], waypoints[:, 1:])
    )
    return (1.0 - fraction) * start + fraction * stop  # exact at both ends


def pad_waypoints(paths: Sequence[np.ndarray], points: int) -> np.ndarray:
    """Gives paths `[p, size]` of different p one number of points.

    Short ones repeat their last point, which changes nothing; of long ones, evenly spread points are kept, the first
    and the last among them.

    Returns:
        `[len(paths), points, size]` float32.
    """
    rows = [
        np.minimum(np.arange(points), len(path) - 1)
        if len(path) <= points
        else np.round(np.linspace(0, len(path) - 1, points)).astype(int)
        for path in paths
    ]
    return np.stack([path[row] for path, row in zip(paths, rows, strict=True)]).astype(np.float32)


class Paths(NamedTuple):
    """What is searched: a row is a path of class codes, of one exemplar.

    Attributes:
        individual: the exemplars' individual codes, held fixed: an array or any tree of arrays `[batch, ...]`.
        waypoints: `[batch, points, size]`, from the exemplars' class codes to the references'.
        prediction: `[batch]` int32, the exemplars' classes.
        target: `[batch]` int32, the class that must become confident.
        needed: `[batch]` float32, the log odds at which it is confident, see `odds_of` and `needed_odds`.
        any_flip: `[batch]`, whether every class but the exemplar's counts as a flip, or the target alone; None for the
            target alone in all rows.
        active: `[batch]`, False for rows that only fill the batch: nothing is found there; None if there are none.
    """

    individual: Any
    waypoints: jax.Array | np.ndarray
    prediction: jax.Array | np.ndarray
    target: jax.Array | np.ndarray
    needed: jax.Array | np.ndarray
    any_flip: jax.Array | np.ndarray | None = None
    active: jax.Array | np.ndarray | None = None


class Crossings(NamedTuple):
    """What a search found, all `[batch]`; shifts are NaN where there is none.

    Attributes:
        flip_shift: the first shift at which the answer has flipped.
        shift: the first shift at which the target is confident.
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


class _Queue(NamedTuple):
    """What is searched, and the order in which it is served."""

    paths: Paths
    order: jax.Array  # [batch], numbers of the rows, the active ones first
    waiting: jax.Array  # how many are active

    def at(self, places: jax.Array) -> jax.Array:
        """The rows at places of the queue; beyond its end, the number of rows."""
        batch = len(self.order)
        return jnp.where(places < self.waiting, self.order[jnp.minimum(places, batch - 1)], batch)


class _State(NamedTuple):
    """Between two rounds: a round decodes and classifies one shift of every row that is in a slot."""

    slots: _Slots
    next_place: jax.Array  # in the queue
    results: Crossings  # infinite where nothing was found


class _Precision(NamedTuple):
    """How closely to search; see `search`."""

    finest: jax.Array
    intervals: jax.Array


def _begin(queue: _Queue, slots: int) -> _State:
    batch = len(queue.order)
    nothing = Crossings(
        jnp.full(batch, jnp.inf),
        jnp.full(batch, jnp.inf),
        jnp.zeros(batch, jnp.int32),
        jnp.ones(batch, bool),
        jnp.zeros(batch, jnp.int32),
    )
    first = _Slots.of(queue.at(jnp.arange(slots, dtype=jnp.int32)))
    return _State(first, jnp.asarray(slots, jnp.int32), nothing)


def _unfinished(state: _State) -> jax.Array:
    return (state.slots.row < len(state.results.shift)).any()


def _open_brackets(s: _Slots, paths: Paths, precision: _Precision) -> tuple[jax.Array, jax.Array]:
    """Whether each slot's scan goes on, and which brackets `[2, slots]` are to be halved."""
    own = paths.prediction[jnp.minimum(s.row, len(paths.prediction) - 1)]
    lost = (s.start_prediction >= 0) & (s.start_prediction != own)
    found = jnp.isfinite(s.high)
    scanning = (s.scanned <= precision.intervals) & ~found.all(0) & ~lost
    return scanning, found & (s.high - s.low > precision.finest) & ~lost[None]


def _ask(decode: Decode, state: _State, queue: _Queue, precision: _Precision) -> tuple[jax.Array, jax.Array]:
    """The shifts `[slots]` that a round asks about, and their images."""
    s, paths = state.slots, queue.paths
    row = jnp.minimum(s.row, len(queue.order) - 1)
    scanning, wide = _open_brackets(s, paths, precision)
    middle = jnp.where(wide[0], s.low[0] + s.high[0], s.low[1] + s.high[1]) / 2
    shift = jnp.where(scanning, s.scanned / precision.intervals, jnp.where(wide.any(0), middle, 0.0))
    shift = shift.astype(jnp.float32)
    return shift, decode(rows.take(paths.individual, row), along_path(paths.waypoints[row], shift))


def _learn(state: _State, queue: _Queue, precision: _Precision, shift: jax.Array, probabilities: jax.Array) -> _State:
    """What a round's answers narrow down; a row that is done hands its slot to the next in line."""
    s, next_place, results = state
    batch, paths = len(queue.order), queue.paths
    row = jnp.minimum(s.row, batch - 1)
    scanning, _ = _open_brackets(s, paths, precision)
    answer = probabilities.argmax(-1).astype(jnp.int32)
    flipped = answer == paths.target[row]
    if paths.any_flip is not None:
        flipped = jnp.where(paths.any_flip[row], answer != paths.prediction[row], flipped)
    sure = odds_of(probabilities, paths.target[row]) >= paths.needed[row]  # below 0.5, another class may be the answer
    hits = jnp.stack([flipped, flipped & sure & (answer == paths.target[row])])
    inside = (s.low <= shift[None]) & (shift[None] < s.high)
    s = s._replace(
        scanned=jnp.where(scanning, s.scanned + 1, s.scanned),
        low=jnp.where(inside & ~hits, shift[None], s.low),
        high=jnp.where(inside & hits, shift[None], s.high),
        start_prediction=jnp.where(s.start_prediction < 0, answer, s.start_prediction),
        finite=s.finite & jnp.isfinite(probabilities).all(-1),
        decodes=s.decodes + 1,
    )
    scanning, wide = _open_brackets(s, paths, precision)
    done = ~scanning & ~wide.any(0)
    learnt = (s.high[0], s.high[1], s.start_prediction, s.finite, s.decodes)
    results = Crossings(
        *(
            whole.at[jnp.where(done, s.row, batch)].set(value, mode="drop")
            for whole, value in zip(results, learnt, strict=True)
        )
    )
    fresh = _Slots.of(queue.at(next_place + jnp.cumsum(done, dtype=jnp.int32) - 1))
    s = _Slots(*(jnp.where(done if new.ndim == 1 else done[None], new, old) for new, old in zip(fresh, s, strict=True)))
    return _State(s, next_place + done.sum(dtype=jnp.int32), results)


def _prepare(
    paths: Paths,
    tolerance: float | jax.Array,
    intervals: int,
    slots: int | None,
) -> tuple[_State, _Queue, _Precision]:
    active = jnp.ones(len(paths.prediction), bool) if paths.active is None else paths.active
    order = jnp.argsort(~active, stable=True).astype(jnp.int32)
    queue = _Queue(jax.tree.map(jnp.asarray, paths), order, active.sum(dtype=jnp.int32))
    finest = jnp.maximum(tolerance, 2.0**-22)  # finer than float32 tells shifts apart, halving would not end
    precision = _Precision(finest, jnp.asarray(intervals))
    return _begin(queue, min(slots or len(order), len(order))), queue, precision


def _finish(state: _State, paths: Paths) -> Crossings:
    results = state.results
    lost = results.start_prediction != paths.prediction
    flip_shift, shift = (jnp.where(jnp.isinf(x) | lost, jnp.nan, x) for x in (results.flip_shift, results.shift))
    return results._replace(flip_shift=flip_shift, shift=shift)


def search(
    decode: Decode,
    predict: Predict,
    paths: Paths,
    *,
    tolerance: float | Float[Array, ""],
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
        paths: see `Paths`.
        tolerance: of both shifts, at most, and not finer than 2⁻²²; they are reported from the far side, where the
            crossing has happened.
        intervals: of the scan.
        slots: rows decoded together, which bounds the memory; None takes all rows.
    """
    state, queue, precision = _prepare(paths, tolerance, intervals, slots)

    def round_of(state: _State) -> _State:
        shift, images = _ask(decode, state, queue, precision)
        return _learn(state, queue, precision, shift, predict(images))

    return _finish(jax.lax.while_loop(_unfinished, round_of, state), queue.paths)


_ask_compiled = jax.jit(_ask, static_argnums=0)
_learn_compiled = jax.jit(_learn)
_prepare_compiled = jax.jit(_prepare, static_argnames=("intervals", "slots"))


def search_on_host(
    decode: Decode,
    predict: HostPredict,
    paths: Paths,
    *,
    tolerance: float | Float[Array, ""],
    intervals: int = 16,
    slots: int | None = None,
) -> Crossings:
    """`search` for a `predict` that JAX cannot trace: it is called between the compiled halves of a round."""
    state, queue, precision = _prepare_compiled(paths, tolerance, intervals=intervals, slots=slots)
    while _unfinished(state):
        shift, images = _ask_compiled(decode, state, queue, precision)
        state = _learn_compiled(state, queue, precision, shift, jnp.asarray(predict(images)))
    return _finish(state, queue.paths)
