"""Where guided paths lead: strategies that choose references from the code table, behind one interface."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from cae_jax.counterfactual.code_table import CodeTable, nearest_rows
from cae_jax.counterfactual.geodesic import Geodesics

MEDOID_SAMPLE = 4000  # codes of a class that a medoid is chosen among


class Candidates(NamedTuple):
    """Paths to be searched; several rows may belong to one request, and a request without a reference has none.

    Attributes:
        request: `[Q]`, which of the M requests.
        target: `[Q]`, the class at the path's end.
        reference: `[Q]`, row of the code table; -1 where the end is not one image's code.
        waypoints: `[Q, points, size]`, from the exemplar's class code on.
    """

    request: np.ndarray
    target: np.ndarray
    reference: np.ndarray
    waypoints: np.ndarray


Strategy = Callable[[np.ndarray, np.ndarray, int], Candidates]
"""Class codes `[M, size]`, target classes `[M]` and how many references to try for each, to candidates."""


def straight(request: np.ndarray, target: np.ndarray, reference: np.ndarray, start, end) -> Candidates:
    """Straight lines from class codes `[Q, size]` to others."""
    return Candidates(request, target, reference, np.stack([start, end], axis=1).astype(np.float32))


def _by_class(targets: np.ndarray, choose: Callable[[int, np.ndarray], list[Candidates]], size: int) -> Candidates:
    """Collects what `choose(target, requests)` returns for every class among the targets."""
    empty = np.empty(0, np.int64)
    found = [straight(empty, empty, empty, np.empty((0, size)), np.empty((0, size)))]
    for target in np.unique(targets):
        found += choose(int(target), np.flatnonzero(targets == target))
    points = max(part.waypoints.shape[1] for part in found)
    found[0] = found[0]._replace(waypoints=np.empty((0, points, size), np.float32))
    candidates = Candidates(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    order = np.argsort(candidates.request, kind="stable")
    return Candidates(*(field[order] for field in candidates))


def nearest(table: CodeTable, confidence: float) -> Strategy:
    """Straight to the nearest confident codes of the target class (Euclidean distance)."""
    trees: dict[int, tuple[np.ndarray, KDTree]] = {}

    def strategy(codes: np.ndarray, targets: np.ndarray, count: int) -> Candidates:
        def choose(target: int, requests: np.ndarray) -> list[Candidates]:
            if target not in trees:
                rows = table.confident(target, confidence)
                trees[target] = (rows, KDTree(table.class_codes[rows].reshape(len(rows), codes.shape[1])))
            rows, tree = trees[target]
            if not len(rows):
                return []
            _, found = nearest_rows(tree, codes[requests], count)
            references = rows[found].reshape(-1)
            request = np.repeat(requests, found.shape[1])
            ends = table.class_codes[references]
            return [straight(request, np.full(len(request), target), references, codes[request], ends)]

        return _by_class(targets, choose, codes.shape[1])

    return strategy


def _one_end(end_of: Callable[[int], tuple[int, np.ndarray] | None]) -> Strategy:
    """A strategy whose paths toward a class all lead to the same end."""
    ends: dict[int, tuple[int, np.ndarray] | None] = {}

    def strategy(codes: np.ndarray, targets: np.ndarray, count: int) -> Candidates:
        def choose(target: int, requests: np.ndarray) -> list[Candidates]:
            if target not in ends:
                ends[target] = end_of(target)
            if (found := ends[target]) is None:
                return []
            reference, end = found
            many = len(requests)
            filled = np.broadcast_to(end, (many, len(end)))
            return [straight(requests, np.full(many, target), np.full(many, reference), codes[requests], filled)]

        return _by_class(targets, choose, codes.shape[1])

    return strategy


def find_medoid(table: CodeTable, target: int, confidence: float) -> int | None:
    """The row of a class's confident codes with the least total distance to the others; None if there are none."""
    rows = table.confident(target, confidence)
    if not len(rows):
        return None
    rows = rows[np.random.default_rng(0).permutation(len(rows))[:MEDOID_SAMPLE]]
    codes = table.class_codes[rows]
    return int(rows[cdist(codes, codes).sum(0).argmin()])


def medoid(table: CodeTable, confidence: float) -> Strategy:
    """Straight to the confident code of the target class with the least total distance to the others."""

    def end_of(target: int) -> tuple[int, np.ndarray] | None:
        row = find_medoid(table, target, confidence)
        return None if row is None else (row, table.class_codes[row])

    return _one_end(end_of)


def centroid(table: CodeTable, confidence: float) -> Strategy:
    """Straight to the mean of the target class's confident codes, which need not be the code of any image."""

    def end_of(target: int) -> tuple[int, np.ndarray] | None:
        rows = table.confident(target, confidence)
        return (-1, table.class_codes[rows].mean(0)) if len(rows) else None

    return _one_end(end_of)


def geodesic(table: CodeTable, confidence: float) -> Strategy:
    """From neighbour to neighbour over the code table to the class's medoid, so that the path stays on the manifold."""
    graph = Geodesics(table)
    ends: dict[int, int | None] = {}

    def strategy(codes: np.ndarray, targets: np.ndarray, count: int) -> Candidates:
        def choose(target: int, requests: np.ndarray) -> list[Candidates]:
            if target not in ends:
                ends[target] = find_medoid(table, target, confidence)
            if (end := ends[target]) is None:
                return []
            many = len(requests)
            return [Candidates(requests, np.full(many, target), np.full(many, end), graph.paths(codes[requests], end))]

        return _by_class(targets, choose, codes.shape[1])

    return strategy


STRATEGIES: dict[str, Callable[[CodeTable, float], Strategy]] = {
    "nearest": nearest,
    "medoid": medoid,
    "centroid": centroid,
    "geodesic": geodesic,
}
"""By name: a code table and the least confidence of a reference, to a strategy."""


def nearest_classes(
    table: CodeTable, codes: np.ndarray, predictions: np.ndarray, count: int, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """The classes whose confident codes are nearest to each exemplar's, its own class left out.

    Args:
        table: see `CodeTable`.
        codes: `[M, size]`.
        predictions: `[M]`, the exemplars' own classes.
        count: classes for each, at most.
        confidence: the least that a code must have to count.

    Returns:
        Request numbers and target classes, both `[Q]`.
    """
    classes = np.unique(table.predictions[table.confidences >= confidence])
    distances = np.full((len(codes), len(classes)), np.inf)
    for column, target in enumerate(classes):
        tree = KDTree(table.class_codes[table.confident(int(target), confidence)])
        distances[:, column] = nearest_rows(tree, codes, 1)[0][:, 0]
    distances[predictions[:, None] == classes] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    usable = np.isfinite(np.take_along_axis(distances, order, axis=1))
    request, column = np.nonzero(usable)
    return request, classes[order[request, column]]
