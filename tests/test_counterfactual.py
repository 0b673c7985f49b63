"""The search for the flip on closed-form toys with known flip points; endings and references by brute force."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.counterfactual import CodeTable, along_path, decide_endings, nearest_references, search
from cae_jax.types import Ending

TOLERANCE = 1 / 256
BATCH = 4000


def decode(individual_code, class_code):
    """An image whose every pixel has the class code as its channels, plus the individual code, which is 0 here."""
    return individual_code + class_code[:, None, None, :]


def read(images):
    return images.mean((1, 2))


def run(predict, start, end, target, any_flip=False, confidence=0.9, tolerance=TOLERANCE, intervals=16):
    """Searches from class 0 on, compiled as one batch, under strict promotion."""
    batch, size = start.shape
    target = np.broadcast_to(np.asarray(target, np.int32), batch)
    function = jax.jit(
        lambda *paths: search(
            decode,
            predict,
            *paths,
            any_flip,
            confidence=confidence,
            tolerance=tolerance,
            intervals=intervals,
        )
    )
    found = function(
        jnp.zeros((batch, 2, 2, size)),
        jnp.asarray(start, jnp.float32),
        jnp.asarray(end, jnp.float32),
        jnp.zeros(batch, jnp.int32),
        jnp.asarray(target),
    )
    return [np.asarray(x) for x in found]


def assert_pinned_down(found, expected, slack, tolerance=TOLERANCE):
    """Shifts lie at the true crossing or up to the tolerance after it; NaN exactly where there is none."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    there = ~np.isnan(expected)
    late = (found - expected)[there]
    slack = np.broadcast_to(slack, expected.shape)[there]
    assert (late >= -slack).all()
    assert (late <= tolerance + slack).all()


def logistic(slope, bias):
    """Two classes: the second one's log odds are linear in the code."""

    def predict(images):
        odds = read(images) @ slope + bias
        return jnp.stack([jax.nn.sigmoid(-odds), jax.nn.sigmoid(odds)], axis=-1)

    return predict


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("tolerance", [1 / 256, 1 / 1000, 0.2])
def test_flips_and_confident_points_of_thousands_of_logistic_paths(tolerance):
    rng = np.random.default_rng(0)
    slope, bias = rng.normal(size=3).astype(np.float32), np.float32(0.3)
    start, end = rng.normal(0.0, 3.0, (2, BATCH, 3)).astype(np.float32)
    first = start.astype(np.float64) @ slope + bias
    last = end.astype(np.float64) @ slope + bias
    # From class 0, and no crossing in the blind spot of float32 at the path's end.
    expected, confident = (level - first for level in (0.0, np.log(9.0)))
    expected, confident = expected / (last - first), confident / (last - first)
    usable = (first < 0) & (np.abs(last) > 1e-2) & (np.abs(last - np.log(9.0)) > 1e-2)
    start, end, first, last, expected, confident = (x[usable] for x in (start, end, first, last, expected, confident))
    assert len(start) > 1000
    expected = np.where(last > 0, expected, np.nan)
    confident = np.where(last > np.log(9.0), confident, np.nan)
    assert 0.2 < np.isnan(expected).mean() < 0.8

    flip_shift, shift, start_prediction = run(
        logistic(jnp.asarray(slope), jnp.asarray(bias)), start, end, 1, tolerance=tolerance
    )
    slack = 1e-5 * (1.0 + np.abs(first)) / np.abs(last - first)
    assert_pinned_down(flip_shift, expected, slack, tolerance)
    assert_pinned_down(shift, confident, 10 * slack, tolerance)
    assert (start_prediction == 0).all()


def thresholds(*functions):
    """A classifier of as many classes as there are functions of the code's first number: a softmax of their values."""
    return lambda images: jax.nn.softmax(jnp.stack([f(read(images)[:, 0]) for f in functions], axis=-1))


def unit_path(batch=1):
    return np.zeros((batch, 1)), np.ones((batch, 1))


@pytest.mark.usefixtures("strict")
def test_of_several_flips_the_first_is_found():
    # The target leads between 0.3 and 0.6 only, and is at 0.9 between 0.4 and 0.5.
    odds = lambda x: np.log(9.0) * (0.6 - x) * (x - 0.3) / 0.02  # noqa: E731
    predict = thresholds(jnp.zeros_like, odds)
    flip_shift, shift, _ = run(predict, *unit_path(), 1)
    assert_pinned_down(flip_shift, np.asarray([0.3]), 1e-5)
    assert_pinned_down(shift, np.asarray([0.4]), 1e-5)


@pytest.mark.usefixtures("strict")
def test_first_flips_of_many_random_parabolas():
    rng = np.random.default_rng(1)
    first = rng.uniform(0.01, 0.8, BATCH)
    second = first + rng.uniform(0.08, 0.5, BATCH)
    low, high = jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)
    predict = thresholds(jnp.zeros_like, lambda x: 50.0 * (high - x) * (x - low))
    flip_shift, _, _ = run(predict, *unit_path(BATCH), 1)
    assert_pinned_down(flip_shift, first, 1e-5)


@pytest.mark.usefixtures("strict")
def test_a_path_that_never_flips_has_no_shifts():
    predict = thresholds(jnp.zeros_like, lambda x: x - 1.5)
    flip_shift, shift, start_prediction = run(predict, *unit_path(), 1)
    assert np.isnan(flip_shift).all()
    assert np.isnan(shift).all()
    assert start_prediction.tolist() == [0]


@pytest.mark.usefixtures("strict")
def test_a_flip_without_confidence_has_a_flip_shift_only():
    predict = thresholds(jnp.zeros_like, lambda x: 2.0 * (x - 0.5))  # at the end 0.73
    flip_shift, shift, _ = run(predict, *unit_path(), 1)
    assert_pinned_down(flip_shift, np.asarray([0.5]), 1e-5)
    assert np.isnan(shift).all()
    _, shift, _ = run(predict, *unit_path(), 1, confidence=0.6)
    assert_pinned_down(shift, np.asarray([0.5 + np.log(0.6 / 0.4) / 2]), 1e-5)


@pytest.mark.usefixtures("strict")
def test_any_other_class_counts_as_a_flip_only_where_asked():
    # Class 2 takes over at 0.25, the target at 0.7; it reaches 0.9 a little later.
    predict = thresholds(jnp.zeros_like, lambda x: 100.0 * (x - 0.25) + 200.0 * (x - 0.7), lambda x: 100.0 * (x - 0.25))
    own, own_confident, _ = run(predict, *unit_path(), 1)
    any_flip, confident, _ = run(predict, *unit_path(), 1, any_flip=True)
    assert_pinned_down(own, np.asarray([0.7]), 1e-5)
    assert_pinned_down(any_flip, np.asarray([0.25]), 1e-5)
    for shift in (own_confident, confident):
        assert_pinned_down(shift, np.asarray([0.7 + np.log(9.0) / 200.0]), 1e-4)


@pytest.mark.usefixtures("strict")
def test_a_low_confidence_is_reached_at_the_flip_and_never_before():
    # Of three classes the target has 0.34 long before it leads.
    predict = thresholds(jnp.zeros_like, lambda x: 4.0 * (x - 0.5), lambda x: -10.0 + 0.0 * x)
    flip_shift, shift, _ = run(predict, *unit_path(), 1, confidence=0.2)
    assert_pinned_down(flip_shift, np.asarray([0.5]), 1e-5)
    np.testing.assert_array_equal(shift, flip_shift)


@pytest.mark.usefixtures("strict")
def test_a_path_that_begins_in_the_target_flips_at_zero():
    predict = thresholds(jnp.zeros_like, lambda x: 5.0 + x)
    flip_shift, shift, start_prediction = run(predict, *unit_path(), 1)
    np.testing.assert_array_equal(flip_shift, [0.0])
    np.testing.assert_array_equal(shift, [0.0])
    assert start_prediction.tolist() == [1]


@pytest.mark.usefixtures("strict")
def test_a_flip_at_the_very_end_is_found():
    predict = thresholds(jnp.zeros_like, lambda x: jnp.where(x >= 1.0, 9.0, -9.0))
    flip_shift, shift, _ = run(predict, *unit_path(), 1)
    np.testing.assert_allclose([flip_shift, shift], 1.0)


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("intervals", [1, 5, 64])
def test_the_number_of_intervals_does_not_move_a_single_flip(intervals):
    predict = thresholds(jnp.zeros_like, lambda x: 50.0 * (x - 0.437))
    flip_shift, _, _ = run(predict, *unit_path(), 1, intervals=intervals)
    assert_pinned_down(flip_shift, np.asarray([0.437]), 1e-5)


@pytest.mark.usefixtures("strict")
def test_along_path_by_hand():
    start, end = jnp.asarray([[0.0, 1.0], [2.0, 2.0]]), jnp.asarray([[1.0, 1.0], [0.0, 4.0]])
    np.testing.assert_allclose(along_path(start, end, jnp.asarray([0.0, 0.25])), [[0.0, 1.0], [1.5, 2.5]])
    np.testing.assert_allclose(along_path(start, end, jnp.ones(2)), end)


NAN = np.nan


@pytest.mark.parametrize(
    ("prediction", "target", "has_reference", "start", "flip", "shift", "ending"),
    [
        (0, 1, True, 0, 0.4, 0.6, Ending.FLIPPED),
        (0, 1, True, 0, 0.4, NAN, Ending.WEAK),
        (0, 1, True, 0, NAN, NAN, Ending.NOT_FLIPPED),
        (0, 1, True, 2, 0.4, 0.6, Ending.NOT_RECONSTRUCTED),
        (0, 1, True, 1, 0.0, 0.0, Ending.NOT_RECONSTRUCTED),
        (0, -1, False, 0, NAN, NAN, Ending.NO_REFERENCE),
        (0, 1, False, 2, NAN, NAN, Ending.NO_REFERENCE),
        (1, 1, False, 1, NAN, NAN, Ending.ALREADY_TARGET),
        (1, 1, True, 2, 0.0, 0.0, Ending.ALREADY_TARGET),
    ],
)
def test_every_ending_is_named(prediction, target, has_reference, start, flip, shift, ending):
    columns = [np.asarray([value]) for value in (prediction, target, has_reference, start, flip, shift)]
    assert Ending(int(decide_endings(*columns)[0])) is ending


def test_endings_of_many_rows_are_decided_row_by_row():
    rows = np.asarray(list(itertools.product((0, 1), (-1, 0, 1), (False, True), (0, 1), (NAN, 0.3), (NAN, 0.5))))
    columns = [rows[:, 0], rows[:, 1], rows[:, 2].astype(bool), rows[:, 3], rows[:, 4], rows[:, 5]]
    whole = decide_endings(*columns)
    assert [int(x) for x in whole] == [
        int(decide_endings(*(column[i : i + 1] for column in columns))[0]) for i in range(len(rows))
    ]


def test_every_ending_has_a_message():
    messages = [ending.message for ending in Ending]
    assert len(messages) == len(set(messages)) == 6
    assert all(messages)


def test_references_are_the_nearest_confident_codes_of_the_target():
    rng = np.random.default_rng(0)
    table = CodeTable(rng.normal(size=(60, 3)), rng.integers(0, 4, 60), rng.uniform(0.5, 1.0, 60))
    codes, predictions = rng.normal(size=(200, 3)), rng.integers(0, 4, 200)
    targets = rng.integers(-1, 4, 200)
    references = nearest_references(table, codes, predictions, targets, 0.8)
    for code, prediction, target, reference in zip(codes, predictions, targets, references, strict=True):
        best, distance = -1, np.inf
        for row in range(60):
            fits = table.predictions[row] != prediction and target in (-1, table.predictions[row])
            here = np.linalg.norm(table.class_codes[row] - code)
            if fits and table.confidences[row] >= 0.8 and here < distance:
                best, distance = row, here
        assert reference == best
        if target == prediction:
            assert reference == -1


def test_without_a_confident_code_there_is_no_reference():
    table = CodeTable(np.zeros((3, 2)), np.asarray([0, 1, 1]), np.asarray([0.99, 0.5, 0.89]))
    find = lambda targets, confidence: nearest_references(  # noqa: E731
        table, np.zeros((2, 2)), np.asarray([0, 2]), np.asarray(targets), confidence
    ).tolist()
    assert find([1, 1], 0.9) == [-1, -1]
    assert find([1, 3], 0.89) == [2, -1]
    assert find([-1, -1], 0.9) == [-1, 0]
