"""How searches ended, which path answers a request, and where fewer different answers came out than asked for."""

from typing import NamedTuple

import numpy as np

from cae_jax.types import Ending, Explanation


def decide_endings(
    prediction: np.ndarray,
    target: np.ndarray,
    has_reference: np.ndarray,
    start_prediction: np.ndarray,
    flip_shift: np.ndarray,
    shift: np.ndarray,
    answered: np.ndarray,
) -> np.ndarray:
    """Decides the `Ending` of every row, `[M]`; the first that applies, from the most basic obstacle on.

    Args:
        prediction: the exemplars' classes, -1 where the classifier has no finite answer.
        target: the classes aimed at, -1 where there is none.
        has_reference: whether a path existed.
        start_prediction: the reconstructions' classes.
        flip_shift: NaN where nothing flipped.
        shift: NaN where the target never became confident.
        answered: whether all answers on the way were finite.
    """
    return np.select(
        [
            prediction < 0,
            target == prediction,
            ~has_reference,
            ~answered,
            start_prediction != prediction,
            np.isnan(flip_shift),
            np.isnan(shift),
        ],
        [
            Ending.NO_ANSWER,
            Ending.ALREADY_TARGET,
            Ending.NO_REFERENCE,
            Ending.NO_ANSWER,
            Ending.NOT_RECONSTRUCTED,
            Ending.NOT_FLIPPED,
            Ending.WEAK,
        ],
        Ending.FLIPPED,
    )


def select(request: np.ndarray, status: np.ndarray, flip_shift: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The best candidate of every request: by its ending, then by the least shift, then by the least flip shift.

    Args:
        request: `[Q]`, which request a candidate belongs to.
        status: `[Q]`, `Ending`s.
        flip_shift: `[Q]`, NaN where nothing flipped.
        shift: `[Q]`, NaN where nothing became confident.

    Returns:
        Rows of the candidates, one for each request that has any, by request.
    """
    order = np.lexsort((np.nan_to_num(flip_shift, nan=2.0), np.nan_to_num(shift, nan=2.0), status, request))
    _, first = np.unique(request[order], return_index=True)
    return order[first]


def select_diverse(
    request: np.ndarray,
    status: np.ndarray,
    flip_shift: np.ndarray,
    shift: np.ndarray,
    codes: np.ndarray,
    count: int,
    margins: np.ndarray | float = 5e-7,
) -> np.ndarray:
    """Up to `count` candidates of every request: the best, then the flipped one farthest from all chosen, and so on.

    Args:
        request: `[Q]`; see `select`.
        status: `[Q]`.
        flip_shift: `[Q]`.
        shift: `[Q]`.
        codes: `[Q, size]`, class codes of the counterfactuals.
        count: of counterfactuals for a request, at least 1.
        margins: `[Q]`, or one for all: how far each code may be from where it was sought. Two that are no farther apart
            than their margins together are one and the same answer.

    Returns:
        Rows of the candidates, by request.
    """
    chosen: list[int] = []
    flipped = status == Ending.FLIPPED
    margins = np.broadcast_to(np.maximum(margins, 5e-7), request.shape)
    for best in select(request, status, flip_shift, shift):
        picked = [int(best)]
        pool = np.flatnonzero((request == request[best]) & flipped)
        while flipped[best] and len(picked) < count:
            distances = np.sqrt(np.square(codes[pool, None] - codes[picked]).sum(-1))
            different = (distances > margins[pool, None] + margins[picked]).all(1)
            if not different.any():
                break
            picked.append(int(pool[np.where(different, distances.min(1), -1.0).argmax()]))
        chosen += picked
    return np.asarray(chosen, np.int64)


class Shortfall(NamedTuple):
    """A request with fewer answers than were asked for.

    Attributes:
        row: of its first answer in the record.
        found: how many answers it has.
        why: in a sentence.
    """

    row: int
    found: int
    why: str


def find_shortfalls(explanation: Explanation, asked: int) -> list[Shortfall]:
    """The requests of a record that have fewer answers than `asked`."""
    answers, shortfalls = explanation.answers, []
    for row in np.flatnonzero((explanation.answer == 0) & (answers < asked)):
        ending, found = Ending(int(explanation.status[row])), int(answers[row])
        tried, confident = int(explanation.tried[row]), int(explanation.confident[row])
        why = f"of {tried} path{'s' * (tried != 1)} tried, {confident} reached a confident flip"
        if ending != Ending.FLIPPED:
            why = ending.message
        elif confident > found:
            why += f", of which the search can tell {found} apart"
        shortfalls.append(Shortfall(int(row), found, why))
    return shortfalls
