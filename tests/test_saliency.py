"""Saliency maps on arrays made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.counterfactual import (
    exchange_relevance,
    input_saliency,
    log_odds,
    path_saliency,
    reconstruction_saliency,
    relevance,
    smooth,
)

pytestmark = pytest.mark.usefixtures("strict")

SHAPE = (2, 5, 4, 3)


def images(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def test_added_is_positive_and_removed_is_negative_against_the_reconstruction():
    counterfactual = jnp.asarray([[[[0.5, 1.0], [0.0, 0.0]]]])
    reconstruction = jnp.asarray([[[[0.25, 0.25], [0.5, 0.0]]]])
    np.testing.assert_allclose(reconstruction_saliency(counterfactual, reconstruction), [[[0.5, -0.25]]])


def test_against_the_exemplar_both_signs_count_alike():
    counterfactual = jnp.asarray([[[[0.5, 1.0], [0.0, 0.0]]]])
    exemplar = jnp.asarray([[[[0.75, 0.25], [0.5, 0.0]]]])
    np.testing.assert_allclose(input_saliency(counterfactual, exemplar), [[[0.5, 0.25]]])


@pytest.mark.parametrize("formula", [reconstruction_saliency, input_saliency])
def test_an_image_against_itself_is_zero_and_black_against_white_is_the_extreme(formula):
    same, black, white = jnp.asarray(images()), jnp.zeros(SHAPE), jnp.ones(SHAPE)
    np.testing.assert_array_equal(formula(same, same), np.zeros(SHAPE[:3]))
    np.testing.assert_array_equal(formula(white, black), np.ones(SHAPE[:3]))
    assert np.abs(formula(black, white)).tolist() == np.ones(SHAPE[:3]).tolist()


def test_along_a_path_a_change_weighs_as_much_as_the_target_gained_there():
    # Three steps: the first pixel brightens by 0.4 at a gain of 0.3, the second by 0.8 at none, the third darkens by
    # 0.2 at a loss of 0.1.
    path = np.zeros((1, 4, 1, 3, 2), np.float32)
    path[0, 1:, 0, 0] = 0.4
    path[0, 2:, 0, 1] = 0.8
    path[0, :3, 0, 2] = 0.2
    found = path_saliency(jnp.asarray(path), jnp.asarray([[0.1, 0.4, 0.4, 0.3]]))
    np.testing.assert_allclose(found, [[[0.75 * 0.4, 0.0, 0.25 * 0.2]]], atol=1e-6)


def test_along_a_path_of_equal_gains_the_map_is_the_mean_step():
    path = images(1, (3, 6, 5, 4, 3))
    probabilities = np.linspace(0.1, 0.9, 6, dtype=np.float32)[None].repeat(3, 0)
    found = path_saliency(jnp.asarray(path), jnp.asarray(probabilities))
    np.testing.assert_allclose(found, (path[:, -1] - path[:, 0]).mean(-1) / 5, atol=1e-5)


def test_along_a_path_on_which_the_target_gains_nothing_the_map_is_zero():
    path = jnp.asarray(images(2, (2, 4, 5, 4, 3)))
    np.testing.assert_array_equal(path_saliency(path, jnp.full((2, 4), 0.3)), np.zeros(SHAPE[:3]))


def test_along_a_path_the_map_stays_within_one_and_reaches_it():
    rng = np.random.default_rng(3)
    path = rng.integers(0, 2, (50, 8, 3, 3, 1)).astype(np.float32)
    found = path_saliency(jnp.asarray(path), jnp.asarray(rng.uniform(size=(50, 8)), jnp.float32))
    assert np.abs(found).max() <= 1.0 + 1e-6
    flash = jnp.asarray([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1, 1)
    np.testing.assert_allclose(path_saliency(flash, jnp.asarray([[0.1, 0.9, 0.2]])), [[[1.0]]], atol=1e-6)


def test_smoothing_spreads_a_point_evenly_and_keeps_the_sum_of_each_map():
    maps = np.zeros((2, 31, 31))
    maps[0, 15, 15], maps[1, 14, 16] = 1.0, -2.0
    smoothed = smooth(maps, 2.0)
    np.testing.assert_allclose(smoothed.sum((1, 2)), [1.0, -2.0], rtol=1e-6)
    for axis in (0, 1):
        np.testing.assert_allclose(smoothed[0], np.flip(smoothed[0], axis), atol=1e-12)
    np.testing.assert_allclose(smoothed[0], smoothed[0].T, atol=1e-12)
    offsets = np.arange(31) - 15
    np.testing.assert_allclose((smoothed[0].sum(0) * offsets**2).sum(), 2.0**2, rtol=0.01)


def test_smoothing_by_nothing_leaves_maps_as_they_are():
    maps = images()[..., 0]
    np.testing.assert_array_equal(smooth(maps, 0.0), maps)


def test_relevance_shares_out_the_gain_among_the_pixels_that_brought_it():
    # The answer gains 3 times the first pixel, minus the second; the third does not matter to it.
    path = np.zeros((1, 3, 1, 3, 1), np.float32)
    path[0, :, 0, :, 0] = [[0.0, 0.0, 0.0], [0.1, 0.2, 0.5], [0.3, 0.2, 0.9]]
    sensitivities = np.broadcast_to(np.asarray([3.0, -1.0, 0.0], np.float32).reshape(1, 1, 1, 3, 1), path.shape)
    np.testing.assert_allclose(
        relevance(jnp.asarray(path), jnp.asarray(sensitivities)), [[[0.9, -0.2, 0.0]]], rtol=1e-6
    )


def test_relevance_adds_up_to_the_gain_of_a_curved_answer():
    def answer(x):
        return jax.nn.sigmoid(jnp.square(x).sum((-3, -2, -1)) - 2.0)

    ends = images(5, (2, 1, 4, 3, 2)), images(6, (2, 1, 4, 3, 2))
    shares = np.linspace(0, 1, 33, dtype=np.float32).reshape(1, -1, 1, 1, 1)
    path = jnp.asarray(ends[0] * (1 - shares) + ends[1] * shares)
    found = relevance(path, jax.grad(lambda x: answer(x).sum())(path))
    probabilities = answer(path)
    np.testing.assert_allclose(found.sum((1, 2)), probabilities[:, -1] - probabilities[:, 0], atol=1e-3)


def test_log_odds_of_certain_answers_are_finite_and_of_others_exact():
    found = log_odds(jnp.asarray([0.0, 0.25, 0.5, 0.75, 1.0]))
    np.testing.assert_allclose(found[1:4], [-np.log(3), 0, np.log(3)], atol=1e-6)
    np.testing.assert_allclose(jnp.abs(found[jnp.asarray([0, 4])]), -np.log(1e-7), rtol=1e-5)


def linear_classifier(weights):
    """Two classes, whose log odds are a weighted sum of all pixels."""

    def predict(images):
        odds = (images * weights).sum((1, 2, 3))
        own = 1.0 / (1.0 + np.exp(-odds))
        return np.stack([own, 1.0 - own], axis=-1)

    return predict


def test_exchanged_one_by_one_cells_of_one_pixel_get_what_they_are_worth_to_a_linear_classifier():
    weights, exemplars, others = (images(seed) - 0.5 for seed in range(3))
    found = exchange_relevance(linear_classifier(weights[0]), exemplars, others, np.asarray([0, 1]))
    worth = (weights[0] * (exemplars - others)).sum(-1) * np.asarray([1.0, -1.0])[:, None, None]
    np.testing.assert_allclose(found, worth, atol=1e-5)


def test_exchanged_cells_add_up_to_the_difference_of_log_odds_and_what_is_equal_gets_nothing():
    shape = (3, 40, 30, 1)
    exemplars, others = images(1, shape), images(2, shape)
    others[:, :, 15:] = exemplars[:, :, 15:]
    others[1, 20:] = exemplars[1, 20:]
    asked = []

    def predict(batch):
        asked.append(len(batch))
        odds = 4.0 * (np.maximum(batch[:, :20].mean((1, 2, 3)), 0.5) - batch[:, 20:].std((1, 2, 3)))
        own = 1.0 / (1.0 + np.exp(-odds))
        return np.stack([own, 1.0 - own], axis=-1)

    found = exchange_relevance(predict, exemplars, others, np.zeros(3, int))
    own = [np.asarray(log_odds(jnp.asarray(predict(x)[:, 0], jnp.float32))) for x in (exemplars, others)]
    np.testing.assert_allclose(found.sum((1, 2)), own[0] - own[1], atol=1e-4)
    assert not found[:, :, 15:].any()
    assert not found[1, 20:].any()
    assert asked[:6] == [14 * 5 + 1] * 2 + [7 * 5 + 1] * 2 + [14 * 5 + 1] * 2  # only cells where something differs


def test_of_two_cells_that_only_matter_together_each_gets_half():
    exemplar, other = np.ones((1, 1, 2, 1), np.float32), np.zeros((1, 1, 2, 1), np.float32)

    def predict(batch):
        own = np.where(batch.min((1, 2, 3)) > 0.5, 0.9, 0.5)
        return np.stack([own, 1.0 - own], axis=-1)

    found = exchange_relevance(predict, exemplar, other, np.zeros(1, int))
    np.testing.assert_allclose(found, np.full((1, 1, 2), np.log(9.0) / 2), rtol=1e-5)
