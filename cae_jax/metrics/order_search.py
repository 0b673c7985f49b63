"""Search for the order of an image's cells that perturbation curves reward most: what maps can reach, and no map."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.metrics.fills import Fill, spread_cells
from cae_jax.parallel.batching import map_batches
from cae_jax.types import Predict

BATCH = 512  # images in a compiled call
ROUNDS = 32  # what more of them gain stands in `docs/experiments.md`, "A ceiling for maps"


def search_order(
    predict: Predict,
    images: np.ndarray,
    classes: np.ndarray,
    *,
    patch: int,
    steps: int,
    fills: Sequence[Fill],
    seed: int,
    rounds: int = ROUNDS,
) -> np.ndarray:
    """Orders the cells of each image by a search on a classifier's answers, from coarse to fine.

    What `perturbation_curves` are made of are the sets of the first cells of an order, one for each step: what they are
    worth together is the mean of the class's probability with nothing but them, less that without them. The search
    begins with a random order and looks for a good half of the cells, then quarters, eighths, and so on to the steps
    themselves. In a round, random cells of one part change places with as many of the next one, for every second pair
    of neighbours; an exchange changes one set only, and stays if that is worth more then.

    An image takes about 3 · `rounds` · `steps` answers for each fill.

    Args:
        predict: function from images to probabilities.
        images: `[N, height, width, C]` in [0, 1].
        classes: class of each image whose probability is followed, `[N]`.
        patch: side of a cell in pixels; cells at the bottom and right edges may be smaller.
        steps: number of steps in which all cells are removed.
        fills: fills that replace removed cells, without noise; what counts is the mean of the probabilities over them.
        seed: seed of the first order and of the exchanges.
        rounds: rounds of exchanges between the steps themselves; coarser parts, whose rounds cost less, have more.

    Returns:
        Maps `[N, height, width]` float32 in (0, 1]: the cells' places, 1 for the one that stands first. Within a step
        the order is random.
    """
    classes, on_device = np.asarray(classes), jnp.asarray(images, jnp.float32)
    count, height, width = images.shape[:3]
    grid = -(-height // patch), -(-width // patch)
    cells, rng = grid[0] * grid[1], np.random.default_rng(seed)

    def worth(rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """What sets of cells, bool `[M, cells]`, of the images in `rows` are worth, in [-1, 1]; `[M]`."""
        chosen, numbers = chosen.reshape(-1, *grid), np.arange(len(rows))

        def probability(fill: Fill, removed: np.ndarray) -> np.ndarray:
            return np.asarray(predict(_without(fill, patch, on_device, rows, removed)))[numbers, classes[rows]]

        return np.mean([probability(fill, ~chosen) - probability(fill, chosen) for fill in fills], axis=0)

    def values(order: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """What the cells of each order `[N, cells]` before each of the places `ends` are worth, `[N, len(ends)]`."""
        chosen = np.argsort(order, axis=1)[:, None] < ends[:, None]
        rows = np.repeat(np.arange(count), len(ends))
        found = map_batches(worth, rows, chosen.reshape(-1, cells), batch_size=min(BATCH, len(rows)))
        return found.reshape(count, len(ends))

    order = rng.permuted(np.tile(np.arange(cells), (count, 1)), axis=1)
    for parts in _levels(steps):
        limits = np.round(np.linspace(0, cells, parts + 1)).astype(int)
        _improve(order, limits, round(rounds * (steps / parts) ** 0.5), values, rng)
    ranks = np.argsort(order, axis=1)
    heights = (1.0 - ranks / cells).astype(np.float32).reshape(count, *grid)
    return np.asarray(spread_cells(heights, patch, height, width))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _without(fill: Fill, patch: int, images: jax.Array, chosen: jax.Array, cells: jax.Array) -> jax.Array:
    """The chosen of the images, each without the cells that are marked, `[len(chosen), rows, columns]` bool."""
    return fill(images[chosen], spread_cells(cells, patch, *images.shape[1:3]), jax.random.key(0))


def _levels(steps: int) -> list[int]:
    """Numbers of parts that cells are ordered into, from halves to the steps: 2, 4, 8 ... and the steps."""
    return [*(2**power for power in range(1, (steps - 1).bit_length())), steps] if steps > 1 else []


def _improve(
    order: np.ndarray,
    limits: np.ndarray,
    rounds: int,
    values: Callable[[np.ndarray, np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> None:
    """Exchanges cells of neighbouring parts of orders, in place, wherever the cells up to their limit gain by it.

    Args:
        order: the cell at each place, `[N, cells]`.
        limits: the places that parts begin at, and the number of cells.
        rounds: number of rounds; each tries one exchange at every second limit.
        values: function from orders and places to what the cells before them are worth.
        rng: source of the exchanges.
    """
    best, pairs = values(order, limits[1:-1]), len(limits) - 2
    for number in range(rounds):
        tried, chosen = order.copy(), np.arange(number % min(2, pairs), pairs, 2)
        for pair in chosen:
            _exchange(tried, limits[pair : pair + 3], rng)
        found = values(tried, limits[chosen + 1])
        for pair, value in zip(chosen, found.T, strict=True):
            better, both = value > best[:, pair], slice(limits[pair], limits[pair + 2])
            order[better, both], best[better, pair] = tried[better, both], value[better]


def _exchange(order: np.ndarray, limits: np.ndarray, rng: np.random.Generator) -> None:
    """Lets random cells between the first two of three limits change places with as many behind, in place.

    They are half of a part at most, and often only one: many bring it near a good order, one at a time brings it there.
    """
    start, limit, end = limits
    fewer = min(limit - start, end - limit)
    number = min(int(np.exp(rng.uniform(0.0, np.log(fewer / 2 + 1)))), fewer)
    places = [
        rng.permuted(np.tile(np.arange(*ends), (len(order), 1)), axis=1)[:, :number]
        for ends in ((start, limit), (limit, end))
    ]
    cells = [np.take_along_axis(order, where, axis=1) for where in places]
    for where, cell in zip(places, reversed(cells), strict=True):
        np.put_along_axis(order, where, cell, axis=1)
