"""Where paths lead and which of them answers, by brute force over small code tables."""

import itertools

import numpy as np
import pytest

from cae_jax.counterfactual import (
    STRATEGIES,
    Candidates,
    CodeTable,
    closest,
    nearest_classes,
    odds_of_probability,
    select,
    select_diverse,
    straight,
)
from cae_jax.counterfactual.strategies import divide
from cae_jax.types import Ending

NAN = np.nan
SIZE, CLASSES, REQUESTS = 3, 4, 40

every_strategy = pytest.mark.parametrize("name", list(STRATEGIES))


def table_of(codes, predictions, confidences=None):
    codes, predictions = np.asarray(codes, np.float32), np.asarray(predictions)
    sure = np.full(len(codes), 0.95) if confidences is None else confidences
    odds = np.asarray([odds_of_probability(each) for each in sure])
    return CodeTable(np.arange(len(codes)).astype(str), codes, predictions, predictions, odds, predictions, odds)


def random_table(rows=60, seed=0):
    rng = np.random.default_rng(seed)
    return table_of(rng.normal(size=(rows, SIZE)), rng.integers(0, CLASSES, rows), rng.uniform(0.5, 1.0, rows))


def random_requests(seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(REQUESTS, SIZE)).astype(np.float32), rng.integers(0, CLASSES, REQUESTS)


def rows_of(table, target, confidence):
    """The confident rows of a class."""
    return [
        row
        for row in range(len(table.class_codes))
        if table.predictions[row] == target and table.odds[row] >= odds_of_probability(confidence)
    ]


def distances_to(table, rows, code):
    return [float(np.linalg.norm(table.class_codes[row] - code)) for row in rows]


@every_strategy
def test_every_path_begins_at_its_exemplar_ends_at_its_reference_and_serves_its_request(name):
    table, (codes, targets) = random_table(), random_requests()
    found = STRATEGIES[name](table, 0.8)(codes, targets, 3)
    assert set(found.request) == set(range(REQUESTS))
    assert 1 < np.bincount(found.request).max() <= 3
    assert (np.diff(found.request) >= 0).all()
    np.testing.assert_array_equal(found.target, targets[found.request])
    assert found.waypoints.dtype == np.float32
    np.testing.assert_array_equal(found.waypoints[:, 0], codes[found.request])
    ends = found.waypoints[:, -1]
    if name == "centroid":
        assert (found.reference == -1).all()
        first = np.unique(found.request, return_index=True)[1]
        expected = [table.class_codes[rows_of(table, target, 0.8)].mean(0) for target in found.target[first]]
        np.testing.assert_allclose(ends[first], expected, atol=1e-6)
    else:
        np.testing.assert_array_equal(ends, table.class_codes[found.reference])
        assert all(row in rows_of(table, target, 0.8) for row, target in zip(*found[2:0:-1], strict=True))


@every_strategy
def test_without_a_confident_code_of_the_class_there_is_no_candidate(name):
    codes = np.random.default_rng(0).normal(size=(24, SIZE))
    confidences = np.where(np.arange(24) % 3 == 1, 0.89, 0.95)
    strategy = STRATEGIES[name](table_of(codes, np.arange(24) % 3, confidences), 0.9)
    nowhere = strategy(np.zeros((3, SIZE), np.float32), np.asarray([1, 7, -1]), 2)
    assert [len(field) for field in nowhere] == [0, 0, 0, 0]
    assert nowhere.waypoints.shape[2] == SIZE
    some = strategy(np.zeros((4, SIZE), np.float32), np.asarray([1, 2, 1, 0]), 1)
    assert some.request.tolist() == [1, 3]
    assert some.target.tolist() == [2, 0]


@every_strategy
def test_a_strategy_answers_alike_when_asked_again_row_by_row(name):
    table, (codes, targets) = random_table(), random_requests()
    strategy = STRATEGIES[name](table, 0.8)
    whole = strategy(codes, targets, 2)
    parts = [strategy(codes[row : row + 1], targets[row : row + 1], 2) for row in range(REQUESTS)]
    for field, alone in zip(whole[1:], zip(*(part[1:] for part in parts), strict=True), strict=True):
        np.testing.assert_array_equal(field, np.concatenate(alone))


def test_straight_lines_have_two_points():
    start, end = np.asarray([[0.0, 1.0]]), np.asarray([[2.0, 3.0]])
    found = straight(np.asarray([4]), np.asarray([1]), np.asarray([7]), start, end)
    assert isinstance(found, Candidates)
    assert [field.tolist() for field in found] == [[4], [1], [7], [[[0.0, 1.0], [2.0, 3.0]]]]


@pytest.mark.parametrize("count", [1, 4])
def test_nearest_leads_to_the_nearest_confident_codes_nearest_first(count):
    table, (codes, targets) = random_table(), random_requests()
    found = STRATEGIES["nearest"](table, 0.8)(codes, targets, count)
    for request, (code, target) in enumerate(zip(codes, targets, strict=True)):
        rows = rows_of(table, target, 0.8)
        order = np.argsort(distances_to(table, rows, code))[:count]
        assert found.reference[found.request == request].tolist() == [rows[i] for i in order]


def test_nearest_leads_to_all_there_are_where_more_are_asked_for():
    table = table_of([[0.0, 0.0], [3.0, 0.0], [1.0, 0.0], [2.0, 0.0]], [0, 1, 1, 2])
    found = STRATEGIES["nearest"](table, 0.9)(np.zeros((3, 2), np.float32), np.asarray([1, 2, 0]), 5)
    assert found.request.tolist() == [0, 0, 1, 2]
    assert found.reference.tolist() == [2, 1, 3, 0]


def test_the_medoid_has_the_least_total_distance_to_the_confident_codes_of_its_class():
    table, (codes, targets) = random_table(), random_requests()
    found = STRATEGIES["medoid"](table, 0.8)(codes, targets, 1)
    assert found.request.tolist() == list(range(REQUESTS))
    several = STRATEGIES["medoid"](table, 0.8)(codes, targets, 3)
    np.testing.assert_array_equal(several.reference[np.unique(several.request, return_index=True)[1]], found.reference)
    for target in range(CLASSES):
        rows = rows_of(table, target, 0.8)
        totals = [sum(distances_to(table, rows, table.class_codes[row])) for row in rows]
        assert set(found.reference[targets == target]) == {rows[int(np.argmin(totals))]}


def test_an_outlier_draws_the_centroid_and_not_the_medoid():
    table = table_of([[0.0], [1.0], [2.0], [3.0], [94.0]], [1] * 5)
    request = np.zeros((1, 1), np.float32), np.asarray([1]), 1
    assert STRATEGIES["medoid"](table, 0.9)(*request).waypoints[0, -1].tolist() == [2.0]
    assert STRATEGIES["centroid"](table, 0.9)(*request).waypoints[0, -1].tolist() == [20.0]


def along(path, count=400):
    """Points evenly spread over the length of a path `[points, size]`."""
    reached = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    shares = np.linspace(0.0, reached[-1], count)
    return np.stack([np.interp(shares, reached, numbers) for numbers in path.T], axis=-1)


def farthest_from(codes, points):
    return np.linalg.norm(points[:, None] - codes, axis=-1).min(1).max()


def test_a_geodesic_stays_where_codes_are_and_a_straight_line_does_not():
    angles = np.linspace(0.0, np.pi, 300)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
    table = table_of(arc, (angles > np.pi / 2).astype(int))
    exemplars, targets = np.asarray([[1.0, 0.01], [0.9, 0.45]], np.float32), np.asarray([1, 1])
    curved, straight_on = (STRATEGIES[name](table, 0.9)(exemplars, targets, 1) for name in ("geodesic", "medoid"))
    np.testing.assert_array_equal(curved.reference, straight_on.reference)
    for path, line in zip(curved.waypoints, straight_on.waypoints, strict=True):
        assert farthest_from(arc, along(line)) > 0.2
        assert farthest_from(arc, along(path)) < 0.02
        assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 0.15
        np.testing.assert_array_equal(path[-1], arc[curved.reference[0]])


def squared(a, b):
    return float(np.square(a.astype(np.float64) - b).sum())


def cheapest_costs(table, end):
    """What it costs to reach a row from every other, by relaxing the edges until nothing changes."""
    codes, count = table.class_codes, len(table.class_codes)
    distances = np.asarray([[squared(a, b) for b in codes] for a in codes])
    edges = np.full((count, count), np.inf)
    for row in range(count):
        near = np.argsort(distances[row], kind="stable")[1:11]
        for target in set(table.predictions) - {table.predictions[row]}:
            members = np.flatnonzero(table.predictions == target)
            near = np.append(near, members[distances[row, members].argmin()])
        edges[row, near] = edges[near, row] = distances[row, near]
    costs = np.full(count, np.inf)
    costs[end] = 0.0
    for _ in range(count):
        costs = np.minimum(costs, (edges + costs).min(1))
    return costs


@pytest.mark.parametrize("seed", range(3))
def test_a_geodesic_is_the_cheapest_way_over_the_neighbourhood_graph(seed):
    table, (codes, targets) = random_table(40, seed), random_requests(seed + 100)
    found = STRATEGIES["geodesic"](table, 0.8)(codes, targets, 1)
    for code, path, end in zip(codes, found.waypoints, found.reference, strict=True):
        costs = cheapest_costs(table, end)
        entrances = np.argsort([squared(code, other) for other in table.class_codes])[:10]
        best = min(squared(code, table.class_codes[row]) + costs[row] for row in entrances)
        assert sum(squared(a, b) for a, b in itertools.pairwise(path)) == pytest.approx(best, rel=1e-5)
        for point in path[1:]:
            assert (table.class_codes == point).all(-1).any()


def blobs(centres, predictions, each=20, seed=0):
    """Dense clouds of codes, one for each centre and prediction."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate([centre + 0.05 * rng.normal(size=(each, 2)) for centre in np.asarray(centres, float)])
    return table_of(codes, np.repeat(predictions, each))


def test_a_geodesic_reaches_classes_that_lie_far_apart():
    table = blobs([(0, 0), (100, 0), (0, 100), (100, 100)], [0, 1, 2, 3])
    codes, targets = table.class_codes[[3, 3, 3, 25]], np.asarray([1, 2, 3, 0])
    found = STRATEGIES["geodesic"](table, 0.9)(codes, targets, 1)
    np.testing.assert_array_equal(table.predictions[found.reference], targets)
    np.testing.assert_array_equal(found.waypoints[:, -1], table.class_codes[found.reference])
    assert np.isfinite(found.waypoints).all()


def test_a_geodesic_reaches_the_medoid_of_a_class_whose_other_half_is_near():
    # Both classes have codes here and far away; the medoids lie far away, where most are.
    table = blobs([(0, 0), (0, 1), (100, 0), (100, 1), (100, 0), (100, 1)], [0, 1, 0, 1, 0, 1])
    codes = table.class_codes[:2]
    found = STRATEGIES["geodesic"](table, 0.9)(codes, np.asarray([1, 1]), 1)
    assert (table.class_codes[found.reference, 0] > 90.0).all()
    np.testing.assert_array_equal(found.waypoints[:, 0], codes)
    np.testing.assert_array_equal(found.waypoints[:, -1], table.class_codes[found.reference])


def test_codes_are_divided_into_groups_that_lie_apart():
    rng = np.random.default_rng(0)
    centres = np.asarray([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    which = rng.integers(0, 3, 1500)  # more than are grouped
    groups = divide((centres[which] + rng.normal(0.0, 0.5, (1500, 2))).astype(np.float32), 3)
    assert sorted(np.concatenate(groups).tolist()) == list(range(1500))
    assert {tuple(np.unique(which[rows])) for rows in groups} == {(0,), (1,), (2,)}
    equal = np.repeat([[0.0, 0.0], [1.0, 0.0]], 5, axis=0)
    assert [rows.tolist() for rows in divide(equal, 4)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert [rows.tolist() for rows in divide(np.zeros((3, 2)), 2)] == [[0, 1, 2]]


@pytest.mark.parametrize("name", ["closest", "medoid", "centroid", "geodesic"])
def test_further_ends_lie_in_the_groups_of_a_class(name):
    table = blobs([(0, 0), (3, -2), (3, 2)], [0, 1, 1])
    found = STRATEGIES[name](table, 0.9)(np.zeros((1, 2), np.float32), np.asarray([1]), 3)
    ends = found.waypoints[:, -1]
    assert len(ends) == 3
    assert (
        np.linalg.norm(ends[1:] - [[3, -2], [3, 2]], axis=-1).max() < 0.1
        or np.linalg.norm(ends[:0:-1] - [[3, -2], [3, 2]], axis=-1).max() < 0.1
    )


def test_the_closest_path_of_each_request_to_each_class_is_chosen():
    request, target = np.asarray([4, 4, 4, 4, 2, 2, 2, 7]), np.asarray([1, 1, 1, 0, 5, 5, 5, 3])
    distance = np.asarray([0.3, 0.1, 0.2, 0.9, 0.1, 0.2, 0.3, 0.5])
    lacking = np.asarray([-1.0, 0.5, -9.0, 2.0, NAN, 0.7, 0.2, NAN])
    assert closest(request, target, distance, lacking).tolist() == [2, 3, 6, 7]
    assert closest(request, target, distance, np.zeros(8)).tolist() == [1, 3, 4, 7]


def test_further_geodesics_enter_a_class_by_codes_of_their_group():
    table = blobs([(0, 0), (3, -2), (3, 2), (1, 0)], [0, 1, 1, 1])
    found = STRATEGIES["geodesic"](table, 0.9)(np.zeros((1, 2), np.float32), np.asarray([1]), 4)
    entered = []
    for path in found.waypoints[1:]:
        of_class = np.asarray([(table.class_codes[20:] == point).all(-1).any() for point in path])
        entered.append(path[of_class][0])
        assert np.linalg.norm(path[of_class] - path[-1], axis=-1).max() < 0.5  # not by way of another group
    assert np.linalg.norm(entered[0] - entered[1]) > 1.0
    assert len(entered) == 3


def test_a_geodesic_passes_through_many_equal_codes():
    table = table_of(np.repeat([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], 20, axis=0), np.repeat([0, 0, 1], 20))
    found = STRATEGIES["geodesic"](table, 0.9)(np.asarray([[0.0, 0.5]], np.float32), np.asarray([1]), 1)
    np.testing.assert_array_equal(found.waypoints[0, -1], [2.0, 0.0])


@pytest.mark.parametrize("count", [1, 2, 10])
def test_the_nearest_classes_are_those_of_the_nearest_confident_codes_and_never_the_own(count):
    table, (codes, predictions) = random_table(), random_requests()
    request, target = nearest_classes(table, codes, predictions, count, 0.8)
    assert (target != predictions[request]).all()
    assert (np.diff(request) >= 0).all()
    for row, (code, own) in enumerate(zip(codes, predictions, strict=True)):
        others = [number for number in range(CLASSES) if number != own]
        nearest = [min(distances_to(table, rows_of(table, number, 0.8), code)) for number in others]
        expected = [others[i] for i in np.argsort(nearest)[:count]]
        assert target[request == row].tolist() == expected


def test_a_class_without_a_confident_code_is_near_to_nobody():
    table = table_of([[0.0], [1.0], [2.0], [3.0]], [0, 1, 2, 2], [0.99, 0.5, 0.89, 0.95])
    codes, predictions = np.zeros((2, 1), np.float32), np.asarray([0, 2])
    request, target = nearest_classes(table, codes, predictions, 3, 0.9)
    assert (request.tolist(), target.tolist()) == ([0, 1], [2, 0])
    request, target = nearest_classes(table, codes, predictions, 3, 0.5)  # which is enough
    assert (request.tolist(), target.tolist()) == ([0, 0, 1, 1], [1, 2, 0, 1])
    request, target = nearest_classes(table, codes, predictions, 3, 0.999)
    assert (len(request), len(target)) == (0, 0)


def random_candidates(seed, count=200, requests=30):
    """Candidates with few different values, so that there are ties; only what flipped has shifts for sure."""
    rng = np.random.default_rng(seed)
    status = rng.integers(0, len(Ending), count)
    shift = np.where(status == Ending.FLIPPED, rng.choice([0.25, 0.5, 0.75], count), rng.choice([0.0, NAN], count))
    flip_shift = np.where(status <= Ending.WEAK, rng.choice([0.1, 0.2], count), rng.choice([0.0, NAN], count))
    return rng.integers(0, requests, count) * 3, status, flip_shift, shift


def rank(row, status, flip_shift, shift):
    high = [9.0 if np.isnan(x) else float(x) for x in (shift[row], flip_shift[row])]
    return int(status[row]), *high, row


@pytest.mark.parametrize("seed", range(5))
def test_the_best_candidate_has_the_best_ending_then_the_least_shifts_then_the_first_place(seed):
    request, *outcome = random_candidates(seed)
    chosen = select(request, *outcome)
    assert request[chosen].tolist() == sorted(set(request))
    for row in chosen:
        rivals = np.flatnonzero(request == request[row])
        assert row == min(rivals, key=lambda rival: rank(rival, *outcome))


def test_the_endings_are_preferred_in_their_order():
    for better, worse in itertools.pairwise(Ending):
        status = np.asarray([worse, better])
        flip_shift = np.asarray([0.1 if worse == Ending.WEAK else NAN, 0.9 if better <= Ending.WEAK else NAN])
        shift = np.asarray([NAN, 0.9 if better == Ending.FLIPPED else NAN])
        assert select(np.zeros(2, int), status, flip_shift, shift).tolist() == [1]


def diverse_by_hand(rows, codes, count):
    """Greedily the farthest from all chosen; `rows` begin with the best."""
    picked = [rows[0]]
    while len(picked) < count:
        apart = {row: min(np.linalg.norm(codes[row] - codes[other]) for other in picked) for row in sorted(rows)}
        farthest = max(apart, key=lambda row: apart[row])
        if apart[farthest] <= 1e-6:
            break
        picked.append(farthest)
    return picked


@pytest.mark.parametrize("count", [1, 3, 50])
def test_diverse_candidates_are_the_best_and_then_the_flipped_ones_farthest_from_all_chosen(count):
    request, *outcome = random_candidates(7)
    codes = np.random.default_rng(8).normal(size=(len(request), SIZE))
    codes[::4] = codes[0]  # some are the same
    best = select(request, *outcome)
    expected = []
    for row in best:
        flipped = np.flatnonzero((request == request[row]) & (outcome[0] == Ending.FLIPPED))
        rest = [int(other) for other in flipped if other != row]
        expected += diverse_by_hand([int(row), *rest], codes, count if len(flipped) else 1)
    found = select_diverse(request, *outcome, codes, count)
    assert found.tolist() == expected
    if count == 1:
        np.testing.assert_array_equal(found, best)
    if count == 50:
        assert len(found) < (outcome[0] == Ending.FLIPPED).sum() + len(best)


def test_diverse_candidates_are_distinct_and_fewer_where_there_are_fewer():
    codes = np.asarray([[0.0], [1.0], [1.0], [0.0], [5.0], [9.0]])
    status = np.asarray([Ending.FLIPPED] * 4 + [Ending.WEAK, Ending.FLIPPED])
    shift = np.asarray([0.2, 0.3, 0.4, 0.5, NAN, 0.9])
    request = np.asarray([0, 0, 0, 0, 0, 1])
    assert select_diverse(request, status, shift / 2, shift, codes, 3).tolist() == [0, 1, 5]


def test_answers_that_the_search_cannot_tell_apart_are_one():
    codes = np.asarray([[0.0], [0.15], [0.25], [1.0]])
    flipped, none = np.full(4, Ending.FLIPPED), np.zeros(4)
    request, shift = np.zeros(4, int), np.asarray([0.1, 0.2, 0.3, 0.4])
    assert select_diverse(request, flipped, none, shift, codes, 4, 0.1).tolist() == [0, 3, 2]
    assert select_diverse(request, flipped, none, shift, codes, 4, np.asarray([0.1, 0.0, 0.2, 0.1])).tolist() == [
        0,
        3,
        1,
    ]
    assert select_diverse(request, flipped, none, shift, codes, 4, 1.0).tolist() == [0]


def test_without_candidates_nothing_is_selected():
    none, nowhere = np.empty(0, int), np.empty(0)
    assert len(select(none, none, nowhere, nowhere)) == 0
    assert len(select_diverse(none, none, nowhere, nowhere, np.empty((0, 2)), 2)) == 0
