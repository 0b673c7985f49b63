"""Runs a compiled function over many rows in batches of one shape, so that it compiles once."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def map_batches(function: Callable[..., Any], *arrays: np.ndarray, batch_size: int = 256) -> Any:
    """Applies `function` to rows in batches and concatenates what it returns, on the host.

    The last batch is filled up by repeating its last row, and the results of those rows are dropped.

    Args:
        function: arrays `[batch_size, ...]` to a tree of such arrays; rows must not influence each other.
        *arrays: `[N, ...]` with the same N, at least 1.
        batch_size: rows a call.

    Returns:
        A tree of numpy arrays `[N, ...]`.

    Raises:
        ValueError: if there are no rows.
    """
    count = len(arrays[0])
    if count == 0:
        raise ValueError("there is nothing to compute: no rows")
    results = []
    for start in range(0, count, batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), count - 1)
        kept = min(batch_size, count - start)
        result = function(*(array[rows] for array in arrays))
        results.append(jax.tree.map(lambda x, kept=kept: np.asarray(x)[:kept], result))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *results)
