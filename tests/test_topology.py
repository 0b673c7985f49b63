"""The topology graph of codes whose shape is known: blobs, lines and circles."""

import itertools
import json

import networkx as nx
import numpy as np
import pytest

from cae_jax.manifold import EmptyGraph, MapperOptions, TopologyGraph, build_topology

BLOBS = MapperOptions(intervals=4)
LINE = MapperOptions(dimensions=1, intervals=5, overlap=0.3)
CIRCLE = MapperOptions(dimensions=1, intervals=6, overlap=0.3)


def make_blobs(distances=(0.0, 100.0), count=120, seed=0):
    """Normal blobs in 4 dimensions, `count` codes each, at distances along the first axis."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(count, 4)) + distance * np.eye(4)[0] for distance in distances])


def make_circle(count=400, inside=1.0):
    """Codes of a noisy circle with radius 1, or of a ring from radius `inside` on."""
    rng = np.random.default_rng(1)
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radii = np.sqrt(rng.uniform(inside**2, 1.0, count)) + 0.02 * rng.normal(size=count)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def make_line(count=200):
    return np.arange(float(count))[:, None] * [[3.0, 4.0]]


def build(codes, options=None, predictions=None, confidences=None):
    count = len(codes)
    predictions = np.arange(count) % 3 if predictions is None else predictions
    confidences = np.linspace(0.5, 1.0, count) if confidences is None else confidences
    return build_topology(codes, predictions, confidences, options)


def bridges_of(graph):
    return [(a, b) for a, b, bridge in graph.graph.edges(data="bridge") if bridge]


def member_sets(graph):
    return {frozenset(rows.tolist()) for rows in graph.members}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lens": "umap"}, "lens must be one of pca, tsne, not 'umap'"),
        ({"dimensions": 0}, "dimensions must be 1 or more, and 2 for t-SNE, not 0"),
        ({"lens": "tsne", "dimensions": 1}, "2 for t-SNE, not 1"),
        ({"lens": "tsne", "dimensions": 3}, "2 for t-SNE, not 3"),
        ({"intervals": 0}, "intervals and members must be 1 or more"),
        ({"members": 0}, "intervals and members must be 1 or more"),
        ({"reach": 0.0}, "reach above 0"),
        ({"overlap": 0.0}, "overlap must be between 0 and 1, not 0.0"),
        ({"overlap": 1.0}, "overlap must be between 0 and 1, not 1.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        MapperOptions(**wrong)


@pytest.mark.parametrize("lens", ["pca", "tsne"])
def test_the_same_codes_give_the_same_graph_node_for_node(lens):
    codes, options = make_circle(80), MapperOptions(lens=lens, intervals=4)
    graph, again = (build(codes.copy(), options) for _ in range(2))
    assert len(graph) > 5
    assert json.dumps(graph.to_dict()) == json.dumps(again.to_dict())


@pytest.mark.parametrize("codes", [make_blobs(), make_circle(), make_line()], ids=["blobs", "circle", "line"])
def test_members_are_sorted_rows_and_no_node_comes_twice(codes):
    graph = build(codes)
    for rows in graph.members:
        assert len(rows) >= 3
        assert (np.diff(rows) > 0).all()
        assert rows[0] >= 0
        assert rows[-1] < len(codes)
    assert len(member_sets(graph)) == len(graph.members) == len(graph)


def test_a_cluster_in_two_intervals_is_one_node():
    graph = build(make_blobs([0.0, 50.0, 100.0], 40), MapperOptions(dimensions=1, intervals=4, overlap=0.5))
    assert [rows.tolist() for rows in graph.members] == [list(range(start, start + 40)) for start in (0, 40, 80)]


def test_the_order_and_the_scale_of_codes_do_not_matter():
    codes, order = make_circle(), np.random.default_rng(0).permutation(400)
    nodes = member_sets(build(codes))
    assert member_sets(build(4.0 * codes)) == nodes
    assert {frozenset(order[list(rows)].tolist()) for rows in member_sets(build(codes[order]))} == nodes


@pytest.mark.parametrize(("gap", "nodes"), [(5.9, 1), (6.1, 2)])
def test_reach_is_in_median_distances_to_the_third_neighbour(gap, nodes):
    places = np.arange(100.0)  # the third neighbour is at 2, of the ends at 3
    places[50:] += gap - 1
    places = np.append(places, 500.0)  # in no node, as there are not 3 of it
    graph = build(places[:, None], MapperOptions(dimensions=1, intervals=1, reach=3.0))
    assert len(graph) == nodes
    assert np.concatenate(graph.members).tolist() == list(range(100))


def test_edges_join_nodes_that_share_members_and_are_as_long_as_their_centres_are_apart():
    graph = build(make_blobs(), BLOBS)
    sets = [set(rows.tolist()) for rows in graph.members]
    for a, b in itertools.combinations(range(len(graph)), 2):
        edge = graph.graph.get_edge_data(a, b)
        if sets[a] & sets[b]:
            assert edge is not None
            assert not edge["bridge"]
        else:
            assert edge is None or edge["bridge"]
        if edge:
            assert edge["length"] == pytest.approx(np.linalg.norm(graph.centres[a] - graph.centres[b]))


def test_a_line_is_a_chain_of_intervals_that_overlap_by_their_share():
    graph = build(make_line(), LINE)
    half = 199 / 10 / (1 - 0.3)
    middles = 199 / 10 * np.arange(1, 10, 2)
    expected = [np.flatnonzero(np.abs(np.arange(200) - middle) <= half).tolist() for middle in middles]
    assert [rows.tolist() for rows in graph.members] == expected
    assert sorted(map(sorted, graph.graph.edges)) == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert graph.way(make_line()[0], make_line()[-1]).nodes == [0, 1, 2, 3, 4]
    assert graph.way(make_line()[130], make_line()[60]).nodes == [3, 2, 1]


def test_codes_without_an_answer_are_in_no_node_and_the_others_keep_their_numbers():
    codes, predictions = make_blobs(), np.arange(240) // 120
    predictions[[3, 130]] = -1
    known = np.flatnonzero(predictions >= 0)
    graph, expected = build(codes, BLOBS, predictions), build(codes[known], BLOBS, predictions[known])
    assert member_sets(graph) == {frozenset(known[list(rows)].tolist()) for rows in member_sets(expected)}
    np.testing.assert_array_equal(graph.centres, expected.centres)
    assert not {3, 130} & set(np.concatenate(graph.members))


def test_codes_that_are_all_the_same_are_no_manifold():
    with pytest.raises(EmptyGraph, match=r"60 images have 1 different class codes between them.*collapsed"):
        build(np.ones((60, 8), np.float32))


def test_two_blobs_are_joined_by_one_bridge_and_every_code_reaches_every_other():
    codes = make_blobs()
    graph = build(codes, BLOBS)
    left = np.asarray([rows[0] < 120 for rows in graph.members], bool)
    assert all((rows < 120).all() or (rows >= 120).all() for rows in graph.members)
    ((a, b),) = bridges_of(graph)
    assert left[a] != left[b]
    between = np.linalg.norm(graph.centres[left][:, None] - graph.centres[~left], axis=-1)
    assert graph.graph.edges[a, b]["length"] == pytest.approx(between.min())
    for start, end in itertools.product(range(0, 240, 24), repeat=2):
        assert sum(graph.way(codes[start], codes[end]).bridges) == ((start < 120) != (end < 120))


def test_parts_are_bridged_to_the_nearest_part():
    graph = build(make_blobs([0.0, 300.0, 100.0, 550.0], 40), MapperOptions(intervals=1))
    place = [rows[0] // 40 for rows in graph.members]
    assert sorted(place) == [0, 1, 2, 3]
    joined = {frozenset((place[a], place[b])) for a, b in bridges_of(graph)}
    assert joined == {frozenset(pair) for pair in [(0, 2), (2, 1), (1, 3)]}


def test_a_way_begins_and_ends_with_the_given_codes_and_flags_its_bridges():
    codes = make_blobs().astype(np.float32)
    graph = build(codes, BLOBS)
    way = graph.way(codes[3], codes[200])
    assert way.waypoints.dtype == np.float32
    np.testing.assert_array_equal(way.waypoints[[0, -1]], codes[[3, 200]])
    np.testing.assert_allclose(way.waypoints[1:-1], graph.centres[way.nodes], rtol=1e-6)
    assert [way.nodes[0], way.nodes[-1]] == graph.nearest_node(codes[[3, 200]]).tolist()
    assert way.bridges == [graph.graph.edges[step]["bridge"] for step in itertools.pairwise(way.nodes)]
    assert sum(way.bridges) == 1
    back = graph.way(codes[200], codes[3])
    assert back.nodes == way.nodes[::-1]
    assert back.bridges == way.bridges[::-1]


def test_a_way_within_a_node_passes_only_that_node():
    graph = build(make_line(), LINE)
    way = graph.way(make_line()[0], make_line()[1])
    assert way.nodes == [0]
    assert way.bridges == []
    assert way.waypoints.shape == (3, 2)


def test_codes_that_are_no_members_belong_to_the_nearest_centre():
    graph = build(make_circle())
    codes = np.random.default_rng(5).uniform(-2, 2, (50, 2))
    distances = np.linalg.norm(codes[:, None] - graph.centres, axis=-1)
    np.testing.assert_array_equal(graph.nearest_node(codes), distances.argmin(1))


@pytest.mark.parametrize(("height", "nodes"), [(1.0, [0, 1, 2, 3]), (4.0, [0, 3])])
def test_a_way_prefers_short_steps_to_a_long_one_up_to_a_point(height, nodes):
    # Squared: 9 straight; around it height² + 1 + height², thus 3 or 33.
    centres = np.asarray([[0.0, 0.0], [1.0, height], [2.0, height], [3.0, 0.0]])
    joined = nx.Graph()
    for a, b, length in [(0, 1, height), (1, 2, 1.0), (2, 3, height), (0, 3, 3.0)]:
        joined.add_edge(a, b, length=length, bridge=(a, b) == (1, 2))
    numbers = np.ones(4)
    graph = TopologyGraph([np.asarray([row]) for row in range(4)], centres, numbers, numbers, numbers, joined)
    way = graph.way(centres[0], centres[3])
    assert way.nodes == nodes
    assert way.bridges == ([False, True, False] if len(nodes) == 4 else [False])


def test_majority_purity_confidence_and_centre_by_hand():
    codes = make_blobs()
    rng = np.random.default_rng(2)
    predictions, confidences = rng.choice([1, 4, 5], 240, p=[0.5, 0.3, 0.2]), rng.uniform(0.5, 1.0, 240)
    graph = build(codes, BLOBS, predictions, confidences)
    for node, rows in enumerate(graph.members):
        own = predictions[rows].tolist()
        majority = max(sorted(set(own)), key=own.count)
        assert graph.majority[node] == majority
        assert graph.purity[node] == pytest.approx(own.count(majority) / len(own))
        assert graph.confidence[node] == pytest.approx(sum(confidences[row] for row in rows) / len(rows))
        of_majority = [codes[row] for row in rows if predictions[row] == majority]
        np.testing.assert_allclose(graph.centres[node], np.mean(of_majority, axis=0))
    assert (graph.purity < 1).all()


def test_a_graph_becomes_json_and_says_the_same():
    graph = build(make_blobs().astype(np.float32), BLOBS)
    found = json.loads(json.dumps(graph.to_dict()))
    assert [node["members"] for node in found["nodes"]] == [rows.tolist() for rows in graph.members]
    np.testing.assert_allclose([node["centre"] for node in found["nodes"]], graph.centres)
    for name in ("majority", "purity", "confidence"):
        np.testing.assert_allclose([node[name] for node in found["nodes"]], getattr(graph, name))
    assert {tuple(edge["nodes"]) for edge in found["edges"]} == set(graph.graph.edges)
    assert sum(edge["bridge"] for edge in found["edges"]) == 1
    assert all(edge["length"] > 0 for edge in found["edges"])


def test_too_few_codes_make_no_graph():
    with pytest.raises(EmptyGraph, match="4 codes make no cluster of 5; use more images"):
        build(make_blobs([0.0], 4), MapperOptions(members=5))


def test_scattered_codes_make_no_graph_and_the_message_names_the_options():
    message = r"no 3 codes lie within reach.* raise reach \(0.01\) or lower members \(3\) or intervals \(7\)"
    with pytest.raises(EmptyGraph, match=message):
        build(make_blobs([0.0], 40), MapperOptions(reach=0.01, intervals=7))


def test_a_noisy_circle_has_one_cycle_and_a_disc_has_none():
    circle = build(make_circle(), CIRCLE)
    assert not bridges_of(circle)
    (cycle,) = nx.cycle_basis(circle.graph)
    assert len(cycle) == len(circle) == 2 * 6 - 2  # the outer intervals hold one arc, the others two
    disc = build(make_circle(inside=0.0), CIRCLE)
    assert not bridges_of(disc)
    assert nx.is_tree(disc.graph)


def test_a_way_around_a_circle_stays_on_it():
    codes = make_circle()
    way = build(codes, CIRCLE).way(codes[0], codes[200])
    assert len(way.nodes) == 6
    assert (np.linalg.norm(way.waypoints, axis=1) > 0.7).all()
