"""Runs a compiled function over many rows in batches of one shape, so that it compiles once."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np


def parallel_calls() -> int:
    """How many compiled calls to have under way at once: one a core on a CPU, one on anything else.

    Small operations do not gain from being split over cores, whole calls do.
    """
    return (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1


def first_call_alone(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes the other threads wait for the first call, so that what it compiles is not compiled by each of them."""
    lock, warm = threading.Lock(), threading.Event()

    def call(*inputs: Any, **options: Any) -> Any:
        if not warm.is_set():
            with lock:
                if not warm.is_set():
                    result = jax.block_until_ready(function(*inputs, **options))
                    warm.set()
                    return result
        return function(*inputs, **options)

    return call


def one_at_a_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes threads wait for each other: for a function of the user's that may not bear two calls at once."""
    lock = threading.Lock()

    def call(*inputs: Any) -> Any:
        with lock:
            return function(*inputs)

    return call


def map_batches(function: Callable[..., Any], *arrays: np.ndarray, batch_size: int = 256, calls: int = 1) -> Any:
    """Applies `function` to rows in batches and concatenates what it returns, on the host.

    The last batch is filled up by repeating its last row, and the results of those rows are dropped.

    Args:
        function: arrays `[batch_size, ...]` to a tree of such arrays; rows must not influence each other.
        *arrays: `[N, ...]` with the same N, at least 1.
        batch_size: rows a call.
        calls: under way at once, each in a thread.

    Returns:
        A tree of numpy arrays `[N, ...]`.

    Raises:
        ValueError: if there are no rows.
    """
    count = len(arrays[0])
    if count == 0:
        raise ValueError("there is nothing to compute: no rows")

    def compute(start: int) -> Any:
        rows = np.minimum(np.arange(start, start + batch_size), count - 1)
        kept = min(batch_size, count - start)
        return jax.tree.map(lambda x: np.asarray(x)[:kept], function(*(array[rows] for array in arrays)))

    starts = range(0, count, batch_size)
    if calls == 1 or len(starts) == 1:
        results = [compute(start) for start in starts]
    else:
        with ThreadPoolExecutor(calls) as pool:
            results = list(pool.map(compute, starts))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *results)
