"""The code table: class codes of a data set, which guided paths lead to, and shortest paths over them."""

import copy
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import KDTree

from cae_jax.counterfactual.certainty import TYPICAL_SHARE, odds_of_probability
from cae_jax.counterfactual.search import pad_waypoints
from cae_jax.options import TYPICAL, Confidence

NEIGHBOURS = 10
MAX_POINTS = 32
AVOIDED = 1000.0  # times as dear is an edge at a code that is to be avoided


class CodeTable(NamedTuple):
    """Class codes of images, a row each.

    Attributes:
        names: `[N]`, of the images.
        class_codes: `[N, size]`.
        labels: `[N]`, the data set's own.
        predictions: `[N]`, the classifier's classes of the images' reconstructions; -1 where it has no finite answer.
        odds: `[N]`, log odds of these classes, see `odds_of`.
        image_predictions: `[N]`, the classifier's classes of the images themselves; -1 where it has no finite answer.
        image_odds: `[N]`, log odds of these classes.
    """

    names: np.ndarray
    class_codes: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    odds: np.ndarray
    image_predictions: np.ndarray
    image_odds: np.ndarray

    def confident(self, target: int, confidence: Confidence) -> np.ndarray:
        """Rows whose reconstructions are confidently of a class."""
        least = needed_odds(confidence, np.asarray([target]), self)[0]
        return np.flatnonzero((self.predictions == target) & (self.odds >= least))

    def real_odds(self, target: int) -> np.ndarray:
        """Log odds of a class in the images that the classifier gives it, in ascending order."""
        return np.sort(self.image_odds[self.image_predictions == target])

    def typicality(self, targets: np.ndarray, odds: np.ndarray) -> np.ndarray:
        """Shares of the images of each target class `[M]` that the classifier is no surer of than log odds `[M]` say.

        Returns:
            `[M]` in [0, 1]; NaN where the odds are, or where the classifier gives no image the class.
        """
        shares = np.full(len(targets), np.nan)
        for target in map(int, np.unique(targets)):
            real, rows = self.real_odds(target), np.flatnonzero((targets == target) & ~np.isnan(odds))
            if target >= 0 and len(real):
                shares[rows] = np.searchsorted(real, odds[rows], side="right") / len(real)
        return shares


def needed_odds(confidence: Confidence, targets: np.ndarray, table: CodeTable | None) -> np.ndarray:
    """Log odds at which each target class `[M]` counts as confident, `[M]` float32.

    'typical' asks for what two thirds of the real images have that the classifier gives the class; of a class that it
    gives none, for what two thirds of all images have of theirs.

    Args:
        confidence: probability, or 'typical'.
        targets: classes, `[M]`.
        table: code table, which 'typical' needs.
    """
    if confidence != TYPICAL:
        return np.full(len(targets), odds_of_probability(float(confidence)), np.float32)
    assert table is not None
    needed = np.full(len(targets), np.inf, np.float32)
    answered = table.image_odds[table.image_predictions >= 0]
    for target in map(int, np.unique(targets)):
        real = table.real_odds(target)
        if len(real := real if len(real) else answered):
            needed[targets == target] = np.quantile(real, TYPICAL_SHARE, method="inverted_cdf")
    return needed


def nearest_rows(tree: KDTree, codes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the nearest rows of a tree and their numbers, both `[len(codes), at most count]`."""
    count = min(count, tree.n)
    distances, rows = tree.query(codes, k=count)
    return np.reshape(distances, (len(codes), count)), np.reshape(rows, (len(codes), count))


class Geodesics:
    """Shortest paths over class codes where a long hop costs more than many short ones.

    Each code is joined to its 10 nearest and to the nearest of every other predicted class, and parts that are still
    apart by their shortest hop, so that every code can be reached however well codes gather by class. An edge costs its
    length squared (a Fermat distance: Groisman et al. 2022, arXiv 1810.09398), which keeps paths where codes are dense;
    with plain lengths the straight hop would win.
    """

    def __init__(self, table: CodeTable):
        self._codes = table.class_codes.astype(np.float64)
        self._tree = KDTree(self._codes)
        count = len(self._codes)
        pairs = [self._edges(np.arange(count), *nearest_rows(self._tree, self._codes, NEIGHBOURS + 1))]
        for target in np.unique(table.predictions):
            members = np.flatnonzero(table.predictions == target)
            others = np.flatnonzero(table.predictions != target)
            if len(others):
                distances, found = nearest_rows(KDTree(self._codes[members]), self._codes[others], 1)
                pairs.append(self._edges(others, distances, members[found]))
        rows, columns, costs = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        self._graph = self._connected(self._undirected(rows, columns, costs))
        self._shortest: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def _undirected(self, rows: np.ndarray, columns: np.ndarray, costs: np.ndarray) -> csr_array:
        """A graph that is read as undirected, of edges that may be there twice, in either direction."""
        # Entries of the same edge would be summed; the larger way round is kept, and the cheapest of them.
        low, high = (np.asarray(of(rows, columns), np.int64) for of in (np.minimum, np.maximum))
        count = len(self._codes)
        order = np.argsort(costs, kind="stable")
        _, first = np.unique((low * count + high)[order], return_index=True)
        once = order[first]
        once = once[low[once] != high[once]]
        return coo_array((costs[once], (low[once], high[once])), shape=(count, count)).tocsr()

    def entering(self, members: np.ndarray, group: np.ndarray) -> "Geodesics":
        """The same codes, but a class, `members`, is entered by a `group` of its rows: the others are avoided."""
        barred = np.zeros(len(self._codes), bool)
        barred[members] = True
        outside = np.flatnonzero(~barred)
        barred[group] = False
        graph = self._graph.tocoo()
        rows, columns = graph.coords
        costs = np.where(barred[rows] | barred[columns], AVOIDED, 1.0) * graph.data
        distances, found = nearest_rows(KDTree(self._codes[group]), self._codes[outside], 1)
        edges = zip((rows, columns, costs), self._edges(outside, distances, group[found]), strict=True)
        other = copy.copy(self)
        other._graph, other._shortest = self._undirected(*map(np.concatenate, edges)), {}
        return other

    def _connected(self, graph: csr_array) -> csr_array:
        """Adds the shortest edge from the part of the first code to the rest, until there is no rest."""
        while True:
            parts, part = connected_components(graph, directed=False)
            if parts == 1:
                return graph
            here, rest = np.flatnonzero(part == part[0]), np.flatnonzero(part != part[0])
            distances, found = nearest_rows(KDTree(self._codes[here]), self._codes[rest], 1)
            shortest = int(distances[:, 0].argmin())
            _, columns, costs = self._edges(rest[[shortest]], distances[[shortest]], here[found[[shortest]]])
            graph = graph + coo_array((costs, (rest[[shortest]], columns)), shape=graph.shape).tocsr()

    @staticmethod
    def _edges(
        rows: np.ndarray, distances: np.ndarray, columns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        costs = np.maximum(np.square(distances), 1e-12)  # an edge of 0 would be no edge
        return np.repeat(rows, columns.shape[1]), columns.reshape(-1), costs.reshape(-1)

    def paths(self, codes: np.ndarray, end: int) -> np.ndarray:
        """The cheapest paths from codes `[M, size]` to a row of the table: waypoints `[M, 32, size]`."""
        if end not in self._shortest:
            self._shortest[end] = dijkstra(self._graph, directed=False, indices=end, return_predecessors=True)
        costs, toward = self._shortest[end]
        distances, neighbours = nearest_rows(self._tree, codes, NEIGHBOURS)
        best = (np.square(distances) + costs[neighbours]).argmin(1)
        paths = []
        for code, node in zip(codes, neighbours[np.arange(len(codes)), best], strict=True):
            trail = [int(node)]
            while trail[-1] != end:
                trail.append(int(toward[trail[-1]]))
            paths.append(np.concatenate([code[None], self._codes[trail]]))
        return pad_waypoints(paths, MAX_POINTS)
