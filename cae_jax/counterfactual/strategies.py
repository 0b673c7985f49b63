"""Where guided paths lead: strategies that choose references from the code table, behind one interface."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from cae_jax.counterfactual.code_table import CodeTable, Geodesics, nearest_rows
from cae_jax.options import Confidence
from cae_jax.parallel.rows import concatenate, take

MEDOID_SAMPLE = 4000  # codes of a class that a medoid is chosen among
GROUP_SAMPLE = 1000  # codes of a class that are divided into groups; the others join them


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
"""Takes class codes `[M, size]`, target classes `[M]` and the number of ends to try for each request; returns as many
candidates, or fewer where there are no more. The first of them is the one for a number of 1."""


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
    candidates = concatenate(found)
    return take(candidates, np.argsort(candidates.request, kind="stable"))


def nearest(table: CodeTable, confidence: Confidence) -> Strategy:
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


def _medoid(table: CodeTable, rows: np.ndarray) -> int:
    """The row with the least total distance to the others, of a sample of them."""
    rows = rows[np.random.default_rng(0).permutation(len(rows))[:MEDOID_SAMPLE]]
    codes = table.class_codes[rows]
    return int(rows[cdist(codes, codes).sum(0).argmin()])


def divide(codes: np.ndarray, count: int) -> list[np.ndarray]:
    """Divides codes `[N, size]` into at most `count` groups that lie apart, by Ward's criterion.

    Of many codes a sample is grouped, and each of the others joins the group of the nearest of the sample.

    Returns:
        The rows of each group; none is empty, and equal codes are in the same one.
    """
    sample = np.random.default_rng(0).permutation(len(codes))[:GROUP_SAMPLE]
    different, which = np.unique(codes[sample], axis=0, return_inverse=True)
    if count < 2 or len(different) < 2:
        return [np.arange(len(codes))]
    group = fcluster(linkage(different, "ward"), count, "maxclust")[which.reshape(-1)]
    near = nearest_rows(KDTree(codes[sample]), codes, 1)[1][:, 0]
    return [rows for number in np.unique(group) if len(rows := np.flatnonzero(group[near] == number))]


def _groups(table: CodeTable, target: int, confidence: Confidence, count: int) -> list[np.ndarray]:
    """All confident rows of a class, and where more than one end is wanted, the groups that they fall into."""
    rows = table.confident(target, confidence)
    if not len(rows):
        return []
    groups = divide(table.class_codes[rows], count - 1) if count > 1 else []
    return [rows, *(rows[group] for group in groups if len(groups) > 1)]


End = tuple[int, np.ndarray]
"""A path's end: a row of the code table, or -1, and the class code there."""


def _to_ends(ends_of: Callable[[int, int], list[End]]) -> Strategy:
    """A strategy whose straight paths toward a class all lead to the same ends, a class and their number to which."""
    ends_of = functools.cache(ends_of)

    def strategy(codes: np.ndarray, targets: np.ndarray, count: int) -> Candidates:
        def choose(target: int, requests: np.ndarray) -> list[Candidates]:
            many, found = len(requests), []
            for reference, end in ends_of(target, count):
                filled = np.broadcast_to(end, (many, len(end)))
                where = np.full(many, target), np.full(many, reference)
                found.append(straight(requests, *where, codes[requests], filled))
            return found

        return _by_class(targets, choose, codes.shape[1])

    return strategy


def medoid(table: CodeTable, confidence: Confidence) -> Strategy:
    """Straight to the confident code of the target class with the least total distance to the others.

    Further ends are the medoids of groups of the class's codes.
    """

    def ends_of(target: int, count: int) -> list[End]:
        rows = dict.fromkeys(_medoid(table, group) for group in _groups(table, target, confidence, count))
        return [(row, table.class_codes[row]) for row in rows]

    return _to_ends(ends_of)


def centroid(table: CodeTable, confidence: Confidence) -> Strategy:
    """Straight to the mean of the target class's confident codes, which need not be the code of any image.

    Further ends are the means of groups of them.
    """

    def ends_of(target: int, count: int) -> list[End]:
        return [(-1, table.class_codes[group].mean(0)) for group in _groups(table, target, confidence, count)]

    return _to_ends(ends_of)


def geodesic(table: CodeTable, confidence: Confidence) -> Strategy:
    """From neighbour to neighbour over the code table to the class's medoid, so that the path stays on the manifold.

    Further paths lead to the medoids of groups of the class's codes, and enter the class by codes of their group.
    """
    graph = Geodesics(table)

    @functools.cache
    def ends_of(target: int, count: int) -> list[tuple[Geodesics, int]]:
        members = np.flatnonzero(table.predictions == target)
        groups = _groups(table, target, confidence, count)
        ways = [graph, *(graph.entering(members, group) for group in groups[1:])]
        return [(way, _medoid(table, group)) for way, group in zip(ways, groups, strict=False)]

    def strategy(codes: np.ndarray, targets: np.ndarray, count: int) -> Candidates:
        def choose(target: int, requests: np.ndarray) -> list[Candidates]:
            many = len(requests)
            return [
                Candidates(requests, np.full(many, target), np.full(many, end), ways.paths(codes[requests], end))
                for ways, end in ends_of(target, count)
            ]

        return _by_class(targets, choose, codes.shape[1])

    return strategy


STRATEGIES: dict[str, Callable[[CodeTable, Confidence], Strategy]] = {
    "closest": medoid,  # and of several ends, `closest` takes the one whose image is closest
    "nearest": nearest,
    "medoid": medoid,
    "centroid": centroid,
    "geodesic": geodesic,
}
"""By name: a code table and the confidence that a reference must have, to a strategy."""


def closest(request: np.ndarray, target: np.ndarray, distance: np.ndarray, lacking: np.ndarray) -> np.ndarray:
    """Chooses one path for each request and target class: the one whose end is closest, of those that are sure enough.

    Args:
        request: `[Q]`, which request each path belongs to.
        target: `[Q]`, the class at its end.
        distance: `[Q]`, of the image at its end from that at its start.
        lacking: `[Q]`, log odds that the image at its end lacks of the ones that it needs; 0 or less where it has them,
            NaN where the classifier has no answer. Where all paths of a request to a class lack some, the one that
            lacks least is chosen.

    Returns:
        Rows of the chosen paths, in ascending order.
    """
    lacking = np.where(np.isnan(lacking), np.inf, np.maximum(lacking, 0.0))
    order = np.lexsort((distance, lacking, target, request))
    _, first = np.unique(np.stack([request, target])[:, order], axis=1, return_index=True)
    return np.sort(order[first])


def nearest_classes(
    table: CodeTable, codes: np.ndarray, predictions: np.ndarray, count: int, confidence: Confidence
) -> tuple[np.ndarray, np.ndarray]:
    """The classes whose confident codes are nearest to each exemplar's, its own class left out.

    Args:
        table: see `CodeTable`.
        codes: `[M, size]`.
        predictions: `[M]`, the exemplars' own classes.
        count: classes for each, at most.
        confidence: what a code must have to count.

    Returns:
        Request numbers and target classes, both `[Q]`.
    """
    classes = np.unique(table.predictions[table.predictions >= 0])
    distances = np.full((len(codes), len(classes)), np.inf)
    for column, target in enumerate(classes):
        if len(confident := table.confident(int(target), confidence)):
            distances[:, column] = nearest_rows(KDTree(table.class_codes[confident]), codes, 1)[0][:, 0]
    distances[predictions[:, None] == classes] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    usable = np.isfinite(np.take_along_axis(distances, order, axis=1))
    request, column = np.nonzero(usable)
    return request, classes[order[request, column]]
