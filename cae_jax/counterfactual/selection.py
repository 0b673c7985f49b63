"""Of several paths of one request, which one answers it; of many answers, which ones differ."""

import numpy as np

from cae_jax.types import Ending


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
