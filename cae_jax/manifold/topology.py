"""The topology graph of class codes, by Mapper (Singh et al. 2007), and the shortest paths through it."""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from scipy.spatial import KDTree
from sklearn.cluster import DBSCAN

from cae_jax.errors import InputError
from cae_jax.manifold.projection import principal_components, tsne

LENSES = ("pca", "tsne")


class EmptyGraph(InputError):
    """The graph would have no node; the message says which option to change."""


@dataclass(frozen=True)
class MapperOptions:
    """Options of Mapper: how codes are covered by overlapping boxes, and clustered in each.

    Attributes:
        lens: projection that is covered by boxes, 'pca' or 'tsne'.
        dimensions: number of dimensions of the lens; 2 for 'tsne'.
        intervals: number of the cover's intervals in each dimension.
        overlap: overlap of neighbouring intervals, as a share of their width, in (0, 1).
        reach: radius of DBSCAN's neighbourhoods, in units of the codes' median distance to the third neighbour.
        members: number of codes, itself included, that a core point of DBSCAN needs within this radius.
        seed: seed of t-SNE.
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
    """A path through the graph from one class code to another.

    Attributes:
        nodes: numbers of the nodes along the path, at least one.
        waypoints: class codes along the path, `[len(nodes) + 2, size]`: the first code, the nodes' centres, the last
            code.
        bridges: whether each step between two nodes is a bridge, `[len(nodes) - 1]`.
    """

    nodes: list[int]
    waypoints: np.ndarray
    bridges: list[bool]


@dataclass(frozen=True)
class TopologyGraph:
    """Overlapping clusters of class codes as a graph.

    Attributes:
        members: row numbers of the codes in each of the V nodes, ascending.
        centres: centre of each node, `[V, size]`: the mean code of those members that are of the majority class.
        majority: majority class of each node, `[V]`: the most frequent prediction of its members.
        purity: share of the members that are of the majority class, `[V]` in (0, 1].
        confidence: mean confidence of the members, `[V]` in [0, 1].
        graph: nodes 0 to V - 1, with edges between nodes that share members, and bridges: edges that join parts without
            common members at their nearest nodes. Edges have a `length`, the distance of the centres, and a flag
            `bridge`.
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
        """Number of the node whose centre is nearest to each code, `[N]`; the codes `[N, size]` need not be members."""
        return np.asarray(KDTree(self.centres).query(codes)[1])

    def way(self, start: np.ndarray, end: np.ndarray) -> Way:
        """The shortest path between two class codes `[size]`, through the nodes nearest to them.

        A step costs its squared length, so that many short steps are preferred to a long one.
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
    """Row numbers of the members of each of Mapper's nodes, in a fixed order; duplicate nodes are left out."""
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
    """Adds bridges until the graph is connected: each joins the component of node 0 to the nearest node outside it."""
    while True:
        here = np.asarray(sorted(nx.node_connected_component(graph, 0)), int)
        rest = np.setdiff1d(np.arange(len(centres)), here)
        if not len(rest):
            return
        distances, found = (np.asarray(x) for x in KDTree(centres[here]).query(centres[rest]))
        nearest = int(np.argmin(distances))
        graph.add_edge(int(here[found[nearest]]), int(rest[nearest]), length=float(distances[nearest]), bridge=True)


def build_topology(
    codes: np.ndarray, predictions: np.ndarray, confidences: np.ndarray, options: MapperOptions | None = None
) -> TopologyGraph:
    """Builds the topology graph of class codes; the result is deterministic.

    Args:
        codes: class codes, `[N, size]`.
        predictions: classifier's class of each code, `[N]`; codes of -1, which it gives no answer to, are in no node.
        confidences: probability of that class, `[N]`.
        options: options of Mapper.

    Raises:
        EmptyGraph: if no cluster is found.
    """
    options = options or MapperOptions()
    answered = np.flatnonzero(predictions >= 0)
    if len(answered) <= options.members:
        raise EmptyGraph(f"{len(answered)} codes make no cluster of {options.members}; use more images")
    if (different := len(np.unique(codes[answered], axis=0))) < 3:
        raise EmptyGraph(
            f"{len(answered)} images have {different} different class codes between them, so there is no manifold: the "
            f"model has collapsed"
        )
    members = [answered[rows] for rows in _clusters(codes[answered], options)]
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
