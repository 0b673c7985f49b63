"""The topology graph of class codes: Mapper (Singh et al. 2007), and the shortest ways through it."""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from scipy.spatial import KDTree
from sklearn.cluster import DBSCAN

from cae_jax.manifold.projection import principal_components, tsne

LENSES = ("pca", "tsne")


class EmptyGraph(ValueError):
    """No node came out; the message says which option to change."""


@dataclass(frozen=True)
class MapperOptions:
    """How codes are covered and clustered.

    Attributes:
        lens: what the cover is laid over: 'pca' or 'tsne' of the codes.
        dimensions: of the lens.
        intervals: of the cover in each dimension.
        overlap: of neighbouring intervals, a share of their width in (0, 1).
        reach: codes within so many times the median distance to the third neighbour are one cluster (DBSCAN).
        members: a code needs as many within reach to be a cluster's core.
        seed: of t-SNE.
    """

    lens: str = "pca"
    dimensions: int = 2
    intervals: int = 10
    overlap: float = 0.3
    reach: float = 3.0
    members: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.lens not in LENSES:
            raise ValueError(f"lens must be one of {', '.join(LENSES)}, not {self.lens!r}")
        if self.dimensions < 1 or (self.lens == "tsne" and self.dimensions != 2):
            raise ValueError(f"dimensions must be 1 or more, and 2 for t-SNE, not {self.dimensions}")
        if self.intervals < 1 or self.members < 1 or self.reach <= 0:
            raise ValueError("intervals and members must be 1 or more, and reach above 0")
        if not 0 < self.overlap < 1:
            raise ValueError(f"overlap must be between 0 and 1, not {self.overlap}")


class Way(NamedTuple):
    """The way from one class code to another.

    Attributes:
        nodes: node numbers passed, at least one.
        waypoints: `[len(nodes) + 2, size]`: the first code, the nodes' centres, the last code.
        bridges: `[len(nodes) - 1]`, which steps cross between parts of the graph that share no member.
    """

    nodes: list[int]
    waypoints: np.ndarray
    bridges: list[bool]


@dataclass(frozen=True)
class TopologyGraph:
    """Clusters of class codes that overlap, as a graph.

    Attributes:
        members: for each of V nodes, the rows of its codes, ascending.
        centres: `[V, size]`, the mean code of the members of the node's majority.
        majority: `[V]`, the most frequent prediction.
        purity: `[V]` in (0, 1], the majority's share.
        confidence: `[V]` in [0, 1], mean confidence of the members.
        graph: nodes 0 to V - 1; edges with `length`, the distance of the centres, and `bridge`, true where the ends
            share no member and only the nearest way between two parts joins them.
    """

    members: list[np.ndarray]
    centres: np.ndarray
    majority: np.ndarray
    purity: np.ndarray
    confidence: np.ndarray
    graph: nx.Graph

    def __len__(self) -> int:
        return len(self.members)

    def nearest_node(self, codes: np.ndarray) -> np.ndarray:
        """The node whose centre is nearest, for codes `[N, size]` that need not be members: `[N]`."""
        return np.asarray(KDTree(self.centres).query(codes)[1])

    def way(self, start: np.ndarray, end: np.ndarray) -> Way:
        """The shortest way between class codes `[size]`, over the nodes nearest to them.

        A step costs its length squared, so that many short steps are preferred to a long one.
        """
        first, last = (int(node) for node in self.nearest_node(np.stack([start, end])))
        nodes = nx.shortest_path(self.graph, first, last, weight=lambda a, b, edge: edge["length"] ** 2)
        bridges = [self.graph.edges[step]["bridge"] for step in itertools.pairwise(nodes)]
        waypoints = np.concatenate([start[None], self.centres[nodes], end[None]]).astype(np.float32)
        return Way(nodes, waypoints, bridges)

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain lists and numbers, for JSON."""
        return {
            "nodes": [
                {
                    "members": self.members[node].tolist(),
                    "centre": self.centres[node].tolist(),
                    "majority": int(self.majority[node]),
                    "purity": float(self.purity[node]),
                    "confidence": float(self.confidence[node]),
                }
                for node in range(len(self))
            ],
            "edges": [
                {"nodes": [a, b], "length": edge["length"], "bridge": edge["bridge"]}
                for a, b, edge in self.graph.edges(data=True)
            ],
        }


def _clusters(codes: np.ndarray, options: MapperOptions) -> list[np.ndarray]:
    """Members of Mapper's nodes, in a fixed order."""
    import kmapper  # an optional package

    if options.lens == "pca":
        lens = principal_components(codes).project(codes, options.dimensions)
    else:
        lens = tsne(codes, options.seed)
    third = KDTree(codes).query(codes, k=min(4, len(codes)))[0][:, -1]
    clusterer = DBSCAN(eps=max(options.reach * float(np.median(third)), 1e-12), min_samples=options.members)
    cover = kmapper.Cover(n_cubes=options.intervals, perc_overlap=options.overlap)
    found = kmapper.KeplerMapper(verbose=0).map(lens, codes, cover=cover, clusterer=clusterer)["nodes"]
    unique = {tuple(sorted(int(row) for row in rows)) for rows in found.values()}
    return [np.asarray(rows) for rows in sorted(unique)]


def _add_bridges(graph: nx.Graph, centres: np.ndarray) -> None:
    """Joins the part of node 0 to the nearest node of the rest until there is no rest."""
    while True:
        here = np.asarray(sorted(nx.node_connected_component(graph, 0)))
        rest = np.setdiff1d(np.arange(len(centres)), here)
        if not len(rest):
            return
        distances, found = (np.asarray(x) for x in KDTree(centres[here]).query(centres[rest]))
        nearest = int(np.argmin(distances))
        graph.add_edge(int(here[found[nearest]]), int(rest[nearest]), length=float(distances[nearest]), bridge=True)


def build_topology(
    codes: np.ndarray, predictions: np.ndarray, confidences: np.ndarray, options: MapperOptions | None = None
) -> TopologyGraph:
    """Builds the topology graph of class codes, the same for the same codes and options.

    Args:
        codes: `[N, size]`.
        predictions: `[N]`, the classifier's classes.
        confidences: `[N]`, their probabilities.
        options: of Mapper.

    Raises:
        EmptyGraph: if no cluster came out.
    """
    options = options or MapperOptions()
    if len(codes) <= options.members:
        raise EmptyGraph(f"{len(codes)} codes make no cluster of {options.members}; use more images")
    members = _clusters(codes, options)
    if not members:
        raise EmptyGraph(
            f"no node: no {options.members} codes lie within reach of each other; "
            f"raise reach ({options.reach}) or lower members ({options.members}) or intervals ({options.intervals})"
        )
    counts = [np.bincount(predictions[rows]) for rows in members]
    majority = np.asarray([count.argmax() for count in counts])
    own = [rows[predictions[rows] == top] for rows, top in zip(members, majority, strict=True)]
    centres = np.stack([codes[rows].mean(0) for rows in own])
    graph = nx.Graph()
    graph.add_nodes_from(range(len(members)))
    nodes_of: dict[int, list[int]] = {}
    for node, rows in enumerate(members):
        for row in rows:
            nodes_of.setdefault(int(row), []).append(node)
    shared = {pair for nodes in nodes_of.values() for pair in itertools.combinations(nodes, 2)}
    for a, b in sorted(shared):
        graph.add_edge(a, b, length=float(np.linalg.norm(centres[a] - centres[b])), bridge=False)
    _add_bridges(graph, centres)
    return TopologyGraph(
        members=members,
        centres=centres,
        majority=majority,
        purity=np.asarray([count.max() / count.sum() for count in counts]),
        confidence=np.asarray([confidences[rows].mean() for rows in members]),
        graph=graph,
    )
