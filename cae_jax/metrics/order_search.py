"""Search for the order of an image's cells that perturbation curves reward most: what maps can reach, and no map."""

import functools
from collections.abc import Sequence

import jax
import numpy as np

from cae_jax.metrics.fills import Fill, spread_cells
from cae_jax.parallel.batching import map_batches
from cae_jax.types import Predict

BATCH = 512  # images in a compiled call


def search_order(
    predict: Predict, images: np.ndarray, classes: np.ndarray, *, patch: int, steps: int, fills: Sequence[Fill]
) -> np.ndarray:
    """Orders the cells of each image by a greedy search on a classifier's answers, from both ends at once.

    A round removes each cell that has no place yet by itself, in addition to those that stand first already; the cells
    without which the least of the class's probability is left are placed next. Then the same from the other end: in
    addition to the cells that stand last already, the ones without which the most is left are placed before them. A
    round places as many cells at each end as a step of `perturbation_curves` removes. So the curve 'morf' falls and the
    curve 'lerf' stays up as far as one step at a time can see.

    An image of n cells takes about `steps` · n / 2 answers for each fill.

    Args:
        predict: function from images to probabilities.
        images: `[N, height, width, C]` in [0, 1].
        classes: class of each image whose probability is followed, `[N]`.
        patch: side of a cell in pixels; cells at the bottom and right edges may be smaller.
        steps: number of steps in which all cells are removed.
        fills: fills that replace removed cells, without noise; what counts is the mean of the probabilities over them.

    Returns:
        Maps `[N, height, width]` float32 in (0, 1]: the cells' places, 1 for the one that stands first.
    """
    images, classes = np.asarray(images, np.float32), np.asarray(classes)
    count, height, width = images.shape[:3]
    grid = -(-height // patch), -(-width // patch)
    cells = grid[0] * grid[1]
    limits = np.round(np.linspace(0, cells, steps + 1)).astype(int)
    ranks = np.full((count, cells), -1)

    def left(gone: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """The mean probability without the cells `[N, cells]` that are gone and each of `[N, M]` others; `[N, M]`."""

        def answer(rows: np.ndarray, cell: np.ndarray) -> np.ndarray:
            numbers, removed = np.arange(len(rows)), gone[rows]
            removed[numbers, cell] = True
            removed = removed.reshape(-1, *grid)
            filled = (_without(fill, patch, images[rows], removed) for fill in fills)
            return np.mean([np.asarray(predict(x))[numbers, classes[rows]] for x in filled], axis=0)

        rows = np.repeat(np.arange(count), candidates.shape[1])
        found = map_batches(answer, rows, candidates.ravel(), batch_size=min(BATCH, count * cells))
        return found.reshape(candidates.shape)

    for step in range(-(-steps // 2)):
        ends = {step: True, steps - 1 - step: False} if 2 * step < steps - 1 else {step: True}
        for place, first in ends.items():
            start, end = limits[place], limits[place + 1]
            candidates = np.nonzero(ranks < 0)[1].reshape(count, -1)
            gone = (ranks >= 0) & (ranks < start if first else ranks >= end)
            found = left(gone, candidates)
            best = np.argsort(found if first else -found, axis=1, kind="stable")[:, : end - start]
            places = np.arange(start, end) if first else np.arange(start, end)[::-1]
            np.put_along_axis(ranks, np.take_along_axis(candidates, best, 1), places[None], axis=1)
    values = (1.0 - ranks / cells).astype(np.float32).reshape(count, *grid)
    return np.asarray(spread_cells(values, patch, height, width))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _without(fill: Fill, patch: int, images: jax.Array, cells: jax.Array) -> jax.Array:
    """Images without the cells that are marked, `[N, rows, columns]` bool."""
    return fill(images, spread_cells(cells, patch, *images.shape[1:3]), jax.random.key(0))
