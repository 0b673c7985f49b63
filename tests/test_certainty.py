"""Log odds that do not saturate, and when a class counts as confident, from numbers and small tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.classifiers.outputs import make_head
from cae_jax.counterfactual import CodeTable, needed_odds, odds_of, odds_of_probability

ARRAYS = pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])


def table_of(odds, classes):
    """A code table of which only the images' answers count."""
    rows, odds, classes = len(odds), np.asarray(odds, np.float32), np.asarray(classes)
    none = np.full(rows, -1)
    return CodeTable(none.astype(str), np.zeros((rows, 2)), none, none, np.zeros(rows), classes, odds)


@ARRAYS
def test_log_odds_keep_their_digits_where_a_probability_is_1(array):
    scores = np.asarray([[0.0, 1.0], [0.0, 30.0], [0.0, 60.0], [-3.0, 2.0], [50.0, 0.0]], np.float32)
    probabilities = array(jax.nn.softmax(scores))
    assert (np.asarray(probabilities)[1:3, 1] == 1.0).all()
    found = np.asarray(odds_of(probabilities, array(np.ones(5, np.int32))))
    np.testing.assert_allclose(found, scores[:, 1] - scores[:, 0], rtol=1e-5)
    assert found.dtype == np.float32


@ARRAYS
def test_log_odds_of_several_classes_are_those_against_all_others(array):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), 20).astype(np.float32)
    classes = np.random.default_rng(1).integers(0, 5, 20).astype(np.int32)
    own = probabilities[np.arange(20), classes].astype(np.float64)
    found = np.asarray(odds_of(array(probabilities), array(classes)))
    np.testing.assert_allclose(found, np.log(own / (1 - own)), atol=1e-4)


@ARRAYS
def test_answers_of_0_and_1_have_finite_log_odds_and_no_answer_has_none(array):
    probabilities = np.asarray([[1.0, 0.0], [0.0, 1.0], [np.nan, np.nan]], np.float32)
    found = np.asarray(odds_of(array(probabilities), array(np.zeros(3, np.int32))))
    assert found[0] == -found[1] > 80
    assert np.isnan(found[2])


@pytest.mark.parametrize("name", ["logit", "sigmoid"])
def test_a_single_score_keeps_its_log_odds_both_ways(name):
    scores = np.asarray([-70.0, -20.0, -1.0, 0.0, 1.0, 20.0, 70.0], np.float32)[:, None]
    for array in (np.asarray, jnp.asarray):
        answers = make_head(name)(array(scores))
        np.testing.assert_allclose(np.asarray(answers).sum(-1), 1.0, rtol=1e-6)
        for chosen, sign in ((0, -1), (1, 1)):
            found = odds_of(answers, array(np.full(7, chosen, np.int32)))
            np.testing.assert_allclose(np.asarray(found), sign * scores[:, 0], rtol=1e-5)


def test_log_odds_of_a_probability():
    for probability in (0.01, 0.5, 0.9, 1 - 1e-6):
        assert odds_of_probability(probability) == pytest.approx(np.log(probability / (1 - probability)))
    assert odds_of_probability(0.0) < -80
    rounded = np.float32(1.0) - np.float32(2.0**-26)
    assert rounded == 1.0
    assert odds_of_probability(1.0) == pytest.approx(np.log(2.0**25), abs=1e-6)


def test_typical_leaves_out_the_least_sure_third_of_each_class_and_a_number_is_the_same_for_all():
    table = table_of([*range(20), *range(100, 200)], [0] * 20 + [1] * 100)
    assert needed_odds("typical", np.asarray([1, 0, 1]), table).tolist() == [133.0, 6.0, 133.0]
    np.testing.assert_allclose(needed_odds(0.9, np.asarray([1, 0]), table), np.log(9.0), rtol=1e-6)
    assert needed_odds(0.9, np.asarray([1, 0]), None).dtype == np.float32


def test_what_counts_as_typical_is_a_third_typical_and_whatever_is_less_is_not():
    odds = np.random.default_rng(0).normal(5.0, 2.0, 137).astype(np.float32)
    table = table_of(odds, [2] * 137)
    least = needed_odds("typical", np.asarray([2]), table)
    below = np.nextafter(least, np.float32(0))
    found = table.typicality(np.full(4, 2), np.asarray([least[0], below[0], odds.max(), np.nan]))
    assert found[0] >= 1 / 3 > found[1]
    assert found[2] == 1.0
    assert np.isnan(found[3])


def test_few_images_of_a_class_are_asked_and_without_any_those_of_all_classes():
    table = table_of([7.0, 3.0, 9.0, -np.inf], [0, 1, 1, -1])
    assert needed_odds("typical", np.asarray([0, 1, 2]), table).tolist() == [7.0, 3.0, 3.0]
    found = table.typicality(np.asarray([0, 1, 2, -1]), np.asarray([7.0, 3.0, 9.0, 9.0]))
    np.testing.assert_array_equal(found, [1.0, 0.5, np.nan, np.nan])
    nothing = table_of([-np.inf], [-1])
    assert needed_odds("typical", np.asarray([0]), nothing).tolist() == [np.inf]
