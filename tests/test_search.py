"""The search for the flip on closed-form toys with known flip points, compiled and as a Python loop."""

import functools
import heapq

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.counterfactual import Crossings, Paths, needed_odds, odds_of_probability, search, search_on_host

TOLERANCE = 1 / 256
MANY = 6000
ROWS = 8
CONFIDENT = np.log(9.0)  # the log odds of 0.9
KNOWN = 10.0

# Log odds are coefficients of 1, x, y and x², where x and y are the class code; each row has its own for three classes.
FLAT = (0.0, 0.0, 0.0, 0.0)
NEVER = (-50.0, 0.0, 0.0, 0.0)
STRAIGHT = [(0.0, 0.0), (1.0, 0.0)]


def decode(individual_code, class_code):
    """Images of one pixel: the class code, then the individual code, as channels."""
    return jnp.concatenate([class_code, individual_code.reshape(len(class_code), 12)], axis=-1)[:, None, None]


def predict(images, xp=jnp):
    """The softmax of three classes' log odds, whose coefficients the image holds; it breaks where x is above 10."""
    pixel = images[:, 0, 0]
    x, y = pixel[:, 0], pixel[:, 1]
    features = xp.stack([xp.ones_like(x), x, y, x * x], axis=-1)
    odds = (pixel[:, 2:].reshape(-1, 3, 4) * features[:, None]).sum(-1)
    powers = xp.exp(odds - odds.max(-1, keepdims=True))
    probabilities = powers / powers.sum(-1, keepdims=True)
    return xp.where((x > KNOWN)[:, None], xp.full_like(odds, np.nan), probabilities)


searched = jax.jit(functools.partial(search, decode, predict), static_argnames=("intervals", "slots"))


def on_host(paths, most=1000, tolerance=TOLERANCE, **options):
    """What the search finds with the same classifier in NumPy, and how many rows each call of it had."""
    calls = []

    def host_predict(images):
        calls.append(len(images))
        assert len(calls) <= most
        return predict(np.asarray(images), np)

    return search_on_host(decode, host_predict, paths, tolerance=tolerance, **options), calls


def toy(target, third=NEVER):
    """A classifier whose class 0 has log odds of 0 everywhere."""
    return FLAT, target, third


def line(crossing, slope):
    return -slope * crossing, slope, 0.0, 0.0


def arrays(toys, paths=STRAIGHT, prediction=0, target=1, confidence=0.9, any_flip=False, active=True):
    """What a search takes: 8 rows, those beyond the toys inactive; paths have 4 points."""
    count = len(toys)
    coefficients = np.zeros((ROWS, 3, 4), np.float32)
    coefficients[:count] = toys
    waypoints = np.zeros((ROWS, 4, 2), np.float32)
    paths = np.asarray(paths, np.float32)
    waypoints[:count, : paths.shape[-2]] = paths
    waypoints[:count, paths.shape[-2] :] = paths[..., -1:, :]
    fill = lambda value, dtype: np.concatenate(  # noqa: E731
        [np.broadcast_to(np.asarray(value, dtype), count), np.zeros(ROWS - count, dtype)]
    )
    paths = Paths(
        coefficients,
        waypoints,
        fill(prediction, np.int32),
        fill(target, np.int32),
        fill([odds_of_probability(each) for each in np.broadcast_to(confidence, count)], np.float32),
        fill(any_flip, bool),
        fill(active, bool),
    )
    return jax.tree.map(jnp.asarray, paths)


def run(toys, paths=STRAIGHT, tolerance=TOLERANCE, intervals=16, slots=None, **rows):
    """Searches a few toys; the jitted function is shared, so that all have one shape."""
    found = searched(arrays(toys, paths, **rows), tolerance=tolerance, intervals=intervals, slots=slots)
    return Crossings(*(np.asarray(field)[: len(toys)] for field in found))


def assert_pinned_down(found, expected, slack=1e-5, tolerance=TOLERANCE):
    """Shifts lie at the true crossing or up to the tolerance after it; NaN exactly where there is none."""
    expected = np.asarray(expected)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    there = ~np.isnan(expected)
    late = (found - expected)[there]
    slack = np.broadcast_to(slack, expected.shape)[there]
    assert (late >= -slack).all()
    assert (late <= tolerance + slack).all()


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def run_many(coefficients, waypoints, active, tolerance, slots=None):
    found = searched(
        Paths(
            jnp.asarray(coefficients, jnp.float32),
            jnp.asarray(waypoints, jnp.float32),
            jnp.zeros(MANY, jnp.int32),
            jnp.ones(MANY, jnp.int32),
            needed_odds(0.9, np.ones(MANY, int), None),
            active=jnp.asarray(active),
        ),
        tolerance=tolerance,
        intervals=16,
        slots=slots,
    )
    return Crossings(*(np.asarray(field) for field in found))


def lines_in_the_plane(seed):
    """Random straight paths and classifiers: rows, which of them are usable, odds at both ends."""
    rng = np.random.default_rng(seed)
    waypoints = rng.normal(0.0, 2.0, (MANY, 2, 2)).astype(np.float32)
    slopes = rng.normal(size=(MANY, 2)).astype(np.float32)
    bias = (-rng.uniform(0.1, 4.0, MANY) - (waypoints[:, 0] * slopes).sum(-1)).astype(np.float32)
    coefficients = np.zeros((MANY, 3, 4), np.float32)
    coefficients[:, 1, 0], coefficients[:, 1, 1:3] = bias, slopes
    coefficients[:, 2] = NEVER
    first, last = (
        (waypoints[:, end].astype(np.float64) * slopes.astype(np.float64)).sum(-1) + bias.astype(np.float64)
        for end in (0, 1)
    )
    # No crossing in the blind spot of float32 at the path's end.
    usable = (np.abs(last) > 1e-2) & (np.abs(last - CONFIDENT) > 1e-2)
    return coefficients, waypoints, usable, first, last


@pytest.mark.parametrize("tolerance", [1 / 64, 1 / 256, 1 / 1000, 0.2])
def test_thousands_of_linear_classifiers_flip_and_become_confident_where_they_should(tolerance):
    coefficients, waypoints, usable, first, last = lines_in_the_plane(int(1 / tolerance))
    assert usable.sum() > 5000
    flip = np.where(usable & (last > 0.0), -first / (last - first), np.nan)
    confident = np.where(usable & (last > CONFIDENT), (CONFIDENT - first) / (last - first), np.nan)
    assert 0.2 < np.isnan(flip).mean() < 0.8
    assert 0.2 < np.isnan(confident).mean() < 0.95

    found = run_many(coefficients, waypoints, usable, tolerance)
    slack = 1e-5 + 1e-5 * (1.0 + np.abs(first)) / np.abs(last - first)
    assert_pinned_down(found.flip_shift, flip, slack, tolerance)
    assert_pinned_down(found.shift, confident, 10 * slack, tolerance)
    assert (found.start_prediction == 0).all()
    assert found.finite.all()
    assert not np.isnan(found.flip_shift[~np.isnan(found.shift)]).any()
    assert (found.shift >= found.flip_shift)[~np.isnan(found.shift)].all()


def test_thousands_of_quadratic_classifiers_flip_at_their_first_root():
    rng = np.random.default_rng(1)
    low = rng.uniform(0.01, 0.8, MANY)
    high = low + rng.uniform(0.11, 0.5, MANY)
    steepness = 2000.0
    coefficients = np.zeros((MANY, 3, 4))
    coefficients[:, 1] = steepness * np.stack([-low * high, low + high, np.zeros(MANY), -np.ones(MANY)], axis=-1)
    coefficients[:, 2] = NEVER
    confident = (low + high) / 2 - np.sqrt(((high - low) / 2) ** 2 - CONFIDENT / steepness)
    waypoints = np.broadcast_to(np.asarray(STRAIGHT), (MANY, 2, 2))
    found = run_many(coefficients, waypoints, np.ones(MANY, bool), TOLERANCE)
    assert_pinned_down(found.flip_shift, low, 1e-4)
    assert_pinned_down(found.shift, confident, 1e-4)


def test_of_several_flips_the_first_is_found():
    # The target leads between 0.3 and 0.6 only, and is at 0.9 between 0.4 and 0.5.
    scale = CONFIDENT / 0.02
    found = run([toy((-0.18 * scale, 0.9 * scale, 0.0, -scale))])
    assert_pinned_down(found.flip_shift, [0.3])
    assert_pinned_down(found.shift, [0.4])


def test_the_first_flip_is_found_where_only_a_later_one_becomes_confident():
    # Along x there, back and on: the target leads from 0.8 on, and is at 0.9 beyond the first turn.
    path = [(0.0, 0.0), (1.0, 0.0), (0.0, 0.0), (3.0, 0.0)]
    confident = (2.0 + 0.8 + CONFIDENT / 2.0) / 5.0
    found = run([toy(line(0.8, 2.0))], path)
    assert_pinned_down(found.flip_shift, [0.8 / 5.0])
    assert_pinned_down(found.shift, [confident])
    assert found.decodes.tolist() == [np.ceil(confident * 16) + 1 + 4 + 4]


def test_a_path_that_never_flips_has_no_shifts():
    found = run([toy(line(1.5, 1.0))])
    assert np.isnan(found.flip_shift).all()
    assert np.isnan(found.shift).all()
    assert found.start_prediction.tolist() == [0]
    assert found.finite.all()


def test_a_flip_without_confidence_has_a_flip_shift_only():
    weak = [toy(line(0.5, 2.0))]  # at the end 0.73
    found = run(weak)
    assert_pinned_down(found.flip_shift, [0.5])
    assert np.isnan(found.shift).all()
    assert_pinned_down(run(weak, confidence=0.6).shift, [0.5 + np.log(0.6 / 0.4) / 2])


def test_every_row_decides_for_itself_whether_any_other_class_counts_as_a_flip():
    # Class 2 takes over at 0.25, the target at 0.7; it reaches 0.9 a little later.
    third = line(0.25, 100.0)
    target = tuple(np.add(third, line(0.7, 200.0)))
    never_confident = toy(line(1.5, 100.0), third)
    mixed = [True, False, True, False, False, True]
    found = run([toy(target, third)] * 4 + [never_confident] * 2, any_flip=mixed)
    assert_pinned_down(found.flip_shift, [0.25, 0.7, 0.25, 0.7, np.nan, 0.25])
    assert_pinned_down(found.shift, [0.7 + CONFIDENT / 200.0] * 4 + [np.nan] * 2, 1e-4)


def test_a_class_that_is_not_the_answer_is_never_what_the_classifier_is_sure_enough_of():
    # Class 2 takes over at 0.25; the target has 0.38 from there on, and leads in the second row from 0.7 on.
    third = line(0.25, 100.0)
    behind, ahead = (tuple(np.add(third, other)) for other in ((-0.5, 0.0, 0.0, 0.0), line(0.7, 1.0)))
    found = run([toy(behind, third), toy(ahead, third)], any_flip=True, confidence=0.2)
    assert_pinned_down(found.flip_shift, [0.25, 0.25])
    assert_pinned_down(found.shift, [np.nan, 0.7])


def test_which_numbers_the_classes_have_changes_nothing():
    classes = toy(line(0.37, 30.0), line(0.6, 40.0))
    orders = [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0)]
    toys = [[classes[order.index(number)] for number in range(3)] for order in orders]
    own, target = [order[0] for order in orders], [order[1] for order in orders]
    found = run(toys, prediction=own, target=target)
    assert found.start_prediction.tolist() == own
    assert_pinned_down(found.flip_shift, [0.37] * 4)
    assert_pinned_down(found.shift, [0.37 + CONFIDENT / 30.0] * 4)


def test_a_low_confidence_is_reached_at_the_flip_and_never_before():
    # The target has 0.2 from 0.15 on, long before it leads.
    found = run([toy(line(0.5, 4.0))], confidence=0.2)
    assert_pinned_down(found.flip_shift, [0.5])
    np.testing.assert_array_equal(found.shift, found.flip_shift)


def test_each_row_has_a_confidence_of_its_own_also_beyond_what_float32_tells_from_1():
    sure = [0.5, 0.99, 1.0 - 1e-6]
    steep = toy(line(0.2, 90.0))
    found = run([steep] * 5, confidence=[*sure, 1.0, 1.0])
    last = odds_of_probability(1.0)
    assert_pinned_down(found.shift, [0.2 + max(np.log(p / (1 - p)), 0.0) / 90.0 for p in sure] + [0.2 + last / 90] * 2)
    needed = np.asarray([20.0, 40.0, 60.0, 80.0, 71.9] + [0.0] * 3, np.float32)  # all of them 1 as a probability
    beyond = searched(arrays([steep] * 5)._replace(needed=needed), tolerance=TOLERANCE, intervals=16, slots=None).shift
    assert_pinned_down(np.asarray(beyond)[:5], [0.2 + 20 / 90, 0.2 + 40 / 90, 0.2 + 60 / 90, np.nan, 0.2 + 71.9 / 90])


def test_a_row_whose_reconstruction_is_of_another_class_is_given_up_after_one_image():
    third = toy(line(0.3, 90.0), (5.0, -50.0, 0.0, 0.0))
    found = run([toy((5.0, 1.0, 0.0, 0.0)), third, third, toy(line(0.3, 90.0))], any_flip=[False, False, True, False])
    assert found.start_prediction.tolist() == [1, 2, 2, 0]
    assert np.isnan(found.flip_shift).tolist() == np.isnan(found.shift).tolist() == [True, True, True, False]
    assert found.decodes[:3].tolist() == [1, 1, 1]


def test_inactive_rows_find_nothing_cost_nothing_and_disturb_nobody():
    flipping, broken = toy(line(0.3, 90.0)), [[np.nan] * 4] * 3
    toys = [flipping, flipping, broken, flipping]
    found = run(toys, active=[True, False, False, True])
    assert np.isnan(found.flip_shift).tolist() == np.isnan(found.shift).tolist() == [False, True, True, False]
    assert found.decodes[1:3].tolist() == [0, 0]
    assert found.finite.all()
    assert_same((field[[0, 3]] for field in found), (field[[0, 1]] for field in run([flipping] * 2)))


def test_without_active_rows_nothing_is_classified():
    found, calls = on_host(arrays([toy(line(0.3, 90.0))] * 3, active=False))
    assert not calls
    assert np.isnan(found.flip_shift).all()
    assert not np.asarray(found.decodes).any()


def test_the_scan_stops_at_the_crossing_and_bisection_at_the_tolerance():
    crossings = np.asarray([0.01, 0.2, 0.5 - 1e-3, 0.99, 2.0])
    found = run([toy(line(crossing, 1e6)) for crossing in crossings])  # flipped and confident at once
    halvings = 4  # from 1/16 to 1/256
    scanned = np.ceil(crossings * 16).astype(int) + 1
    expected = [*(scanned[:4] + halvings), 17]
    assert found.decodes.tolist() == expected
    coarse = run([toy(line(crossing, 1e6)) for crossing in crossings], tolerance=0.1)
    assert coarse.decodes.tolist() == [*scanned[:4], 17]


def test_rounds_end_as_soon_as_every_row_is_done():
    rounds = {}
    for name, crossings in {"early": [0.05, 0.1, 0.12], "one late": [0.05, 0.1, 0.9], "never": [2.0] * 3}.items():
        found, calls = on_host(arrays([toy(line(crossing, 1e6)) for crossing in crossings]))
        assert len(calls) == np.asarray(found.decodes).max()
        rounds[name] = len(calls)
    assert rounds == {"early": 3 + 4, "one late": 16 + 4, "never": 17}


def test_answers_that_are_not_finite_are_reported_for_the_row_that_met_them():
    far = [(0.0, 0.0), (2 * KNOWN, 0.0)]  # the classifier breaks halfway
    beyond = [(1.5 * KNOWN, 0.0), (0.0, 0.0)]
    toys = [toy(line(30.0, 1.0)), toy(line(2.0, 50.0)), toy(line(0.5, 50.0)), toy(FLAT)]
    found = run(toys, [far, far, STRAIGHT, beyond])
    assert found.finite.tolist() == [False, True, True, False]
    assert_pinned_down(found.flip_shift[1:3], [0.1, 0.5])


def mixed_rows():
    """Every way a search can go, in one batch."""
    third = line(0.25, 100.0)
    toys = [
        toy(line(0.1, 80.0)),
        toy(line(0.913, 500.0)),
        toy(line(0.437, 7.0)),
        toy(line(0.5, 2.0)),
        toy(line(1.5, 1.0)),
        toy((5.0, 1.0, 0.0, 0.0)),
        toy(line(0.7, 300.0), third),
        toy(line(0.7, 300.0), third),
    ]
    return arrays(toys, any_flip=[False] * 6 + [True, False], active=[True] * 7 + [False])


def test_the_python_loop_finds_what_the_compiled_loop_finds_in_one_call_a_round():
    found, calls = on_host(mixed_rows(), tolerance=TOLERANCE)
    assert_same(found, searched(mixed_rows(), tolerance=TOLERANCE, intervals=16, slots=None))
    assert calls == [ROWS] * int(np.asarray(found.decodes).max())
    assert 0 < np.isnan(np.asarray(found.flip_shift)).sum() < ROWS


@pytest.mark.parametrize("slots", [1, 3, 100])
def test_a_slot_whose_row_is_done_takes_the_next_and_the_answers_stay_the_same(slots):
    used, calls = min(slots, ROWS), []

    def predict_used(images):
        calls.append(len(images))
        return predict(np.asarray(images), np)

    options = {"tolerance": TOLERANCE}
    found = search_on_host(decode, predict_used, mixed_rows(), **options, slots=slots)
    whole = searched(mixed_rows(), **options, intervals=16, slots=None)
    assert_same(found, whole)
    ends = [0] * used
    for decodes in np.asarray(whole.decodes)[np.asarray(mixed_rows().active)]:
        heapq.heapreplace(ends, ends[0] + int(decodes))
    assert calls == [used] * max(ends)


def test_few_slots_serve_thousands_of_rows_as_well_as_one_for_each():
    coefficients, waypoints, usable, *_ = lines_in_the_plane(256)
    assert_same(
        run_many(coefficients, waypoints, usable, TOLERANCE, slots=64),
        run_many(coefficients, waypoints, usable, TOLERANCE),
    )


@pytest.mark.usefixtures("strict")
def test_no_type_and_no_rank_is_promoted_implicitly():
    options = {"tolerance": TOLERANCE}
    found = jax.eval_shape(functools.partial(search, decode, predict, **options), mixed_rows())
    assert [field.shape for field in found] == [(ROWS,)] * 5
    assert [field.dtype for field in found] == [jnp.float32, jnp.float32, jnp.int32, bool, jnp.int32]


def test_a_shape_is_traced_once_whatever_the_data_and_the_options():
    def toy_search(paths, **options):
        return search(decode, predict, paths, **options)

    traced_once = jax.jit(chex.assert_max_traces(toy_search, n=1))
    flips = []
    for crossing, confidence, tolerance in ((0.2, 0.9, 1 / 64), (0.6, 0.7, 1 / 256), (0.8, 0.99, 1 / 1000)):
        rows = arrays([toy(line(crossing, 90.0))], confidence=confidence)
        found = traced_once(rows, tolerance=jnp.float32(tolerance))
        flips.append(float(found.flip_shift[0]))
        assert_pinned_down(np.asarray(found.flip_shift)[:1], [crossing], tolerance=tolerance)
    assert len(set(flips)) == 3
    with pytest.raises(AssertionError, match="traced"):
        traced_once(jax.tree.map(lambda row: row[:4], rows), tolerance=jnp.float32(TOLERANCE))


def test_crossings_on_the_second_segment_are_shares_of_the_whole_length():
    # One unit along x, then one along y; three along x, then one along y, with points that repeat; and a way back.
    even = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (1.0, 1.0)]
    uneven = [(0.0, 0.0), (3.0, 0.0), (3.0, 0.0), (3.0, 1.0)]
    there_and_back = [(0.0, 0.0), (1.0, 0.0), (0.0, 0.0), (0.0, 2.0)]
    along_y = lambda crossing: toy((-90.0 * crossing, 0.0, 90.0, 0.0))  # noqa: E731
    found = run([along_y(0.25), along_y(0.5), along_y(1.0)], [even, uneven, there_and_back])
    assert_pinned_down(found.flip_shift, [1.25 / 2.0, 3.5 / 4.0, 3.0 / 4.0])
    later = CONFIDENT / 90.0
    assert_pinned_down(found.shift, [(1.25 + later) / 2.0, (3.5 + later) / 4.0, (3.0 + later) / 4.0])


def test_a_flip_at_the_very_end_is_found():
    found = run([toy(line(1.0 - 1e-3, 1e4))])
    assert found.flip_shift.tolist() == found.shift.tolist() == [1.0]


@pytest.mark.parametrize("intervals", [1, 37])
def test_the_number_of_intervals_does_not_move_a_single_flip(intervals):
    found = run([toy(line(0.437, 50.0)), toy(line(0.03, 50.0))], intervals=intervals)
    assert_pinned_down(found.flip_shift, [0.437, 0.03])
    assert_pinned_down(found.shift, [0.437 + CONFIDENT / 50.0, 0.03 + CONFIDENT / 50.0])


def test_a_tolerance_finer_than_float32_ends_all_the_same():
    found, _ = on_host(arrays([toy(line(0.437, 50.0))]), tolerance=1e-9, most=200)
    assert_pinned_down(np.asarray(found.flip_shift)[:1], [0.437], tolerance=1e-5)
