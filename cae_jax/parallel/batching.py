"""Runs a compiled function over many rows in batches of one shape, so that it compiles once."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from cae_jax.parallel import rows
from cae_jax.parallel.processes import gather

PIXELS = 64 * 64 * 64  # that a compiled call takes at most on a CPU; memory does not grow with the number of images
MOST_ROWS = 64  # that it takes there however small they are
ACCELERATED = 16  # times as much on an accelerator, which fewer rows would leave idle


def few_rows(height: int, width: int, times: int = 1) -> int:
    """A number of images that suits any device's memory: 64, or fewer of more than 64×64, but 2 at least; or `times` as
    many.
    """
    return min(max(times * PIXELS // (height * width), 2), times * MOST_ROWS)


def rows_of_a_call(height: int, width: int) -> int:
    """How many images a compiled call takes: `few_rows` on a CPU, 16 times as many on an accelerator.

    A call always computes as many, so that a few large images would else cost as much as 64 of them. Each accelerator
    of this process takes as many; devices of a CPU, which share its cores, share the rows.
    """
    devices = jax.local_device_count()
    if jax.default_backend() == "cpu":
        return -(-few_rows(height, width) // devices) * devices
    return few_rows(height, width, ACCELERATED) * devices


def parallel_calls() -> int:
    """How many compiled calls to have under way at once: one a core on a CPU, one on anything else.

    Small operations do not gain from being split over cores, whole calls do. A call on several devices counts as many.
    """
    return max((os.cpu_count() or 1) // jax.local_device_count(), 1) if jax.default_backend() == "cpu" else 1


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


def map_batches(
    function: Callable[..., Any],
    *trees: Any,
    batch_size: int = 256,
    calls: int = 1,
    spread: bool = False,
    mask: bool = False,
) -> Any:
    """Applies `function` to rows in batches and concatenates what it returns, on the host.

    The last batch is filled up by repeating its last row, and the results of those rows are dropped.

    Args:
        function: function from trees of arrays `[batch_size, ...]` to a tree of such arrays; rows must not influence
            each other.
        *trees: arrays `[N, ...]`, records of such arrays, or `rows.Picked` of them; with the same N, at least 1.
        batch_size: number of rows a call.
        calls: number of calls under way at once, each in a thread.
        spread: whether the processes share the batches; each of them must then call this with the same rows, and gets
            all results.
        mask: whether `function` takes one more array, `[batch_size]`: False for rows that only fill the batch.

    Returns:
        A tree of numpy arrays `[N, ...]`.

    Raises:
        ValueError: if there are no rows.
    """
    count = rows.count(trees)
    if count == 0:
        raise ValueError("there is nothing to compute: no rows")
    processes, own = (jax.process_count(), jax.process_index()) if spread else (1, 0)
    batches = -(-count // batch_size)

    def compute(turn: int) -> Any:
        batch = min(turn * processes + own, batches - 1)  # the last one again where none is left
        places = np.arange(batch * batch_size, (batch + 1) * batch_size)
        filled = rows.take(trees, np.minimum(places, count - 1))
        return rows.on_host(function(*filled, places < count) if mask else function(*filled))

    turns = range(-(-batches // processes))
    if calls == 1 or len(turns) == 1:
        results = [compute(turn) for turn in turns]
    else:
        with ThreadPoolExecutor(calls) as pool:
            results = list(pool.map(compute, turns))
    if processes == 1:
        return rows.take(rows.concatenate(results), slice(count))
    gathered = gather(jax.tree.map(lambda *parts: np.stack(parts), *results))  # [process, turn, batch_size, ...]
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[3:])[:count], gathered)
