"""Controls: what they are made of, and of nothing else."""

import numpy as np
import pytest

from cae_jax import baselines

IMAGES = np.random.default_rng(0).uniform(size=(3, 6, 5, 2)).astype(np.float32)


def test_a_random_map_is_uniform_and_of_its_seed():
    maps = baselines.random_map((4, 30, 20), 0)
    assert maps.shape == (4, 30, 20)
    assert maps.dtype == np.float32
    assert 0.0 <= maps.min() < 0.01 < 0.99 < maps.max() < 1.0
    np.testing.assert_array_equal(baselines.random_map((4, 30, 20), 0), maps)
    assert (baselines.random_map((4, 30, 20), 1) != maps).any()


def test_edges_are_where_the_grey_value_changes():
    image = np.zeros((1, 5, 6, 2), np.float32)
    image[:, :, 3:] = [0.5, 1.0]
    np.testing.assert_allclose(baselines.edge_map(image)[0], np.tile([0, 0, 3.0, 3.0, 0, 0], (5, 1)), atol=1e-6)
    turned = baselines.edge_map(image.transpose(0, 2, 1, 3))[0]
    np.testing.assert_allclose(turned, np.tile([0, 0, 3.0, 3.0, 0, 0], (5, 1)).T, atol=1e-6)
    maps = baselines.edge_map(IMAGES)
    assert maps.dtype == np.float32
    np.testing.assert_array_equal(baselines.edge_map(IMAGES[1:2]), maps[1:2])


def test_reconstruction_error_is_the_mean_difference_of_channels():
    image = np.asarray([0.5, 1.0]).reshape(1, 1, 1, 2)
    reconstruction = np.asarray([0.75, 0.25]).reshape(1, 1, 1, 2)
    np.testing.assert_allclose(baselines.reconstruction_error(image, reconstruction), [[[0.5]]])
    with pytest.raises(ValueError, match="reconstructions must have the shape"):
        baselines.reconstruction_error(IMAGES, IMAGES[:2])


def test_codes_move_as_far_as_is_said_in_all_directions():
    codes = np.random.default_rng(1).normal(size=(2000, 3)).astype(np.float32)
    lengths = np.linspace(0.0, 5.0, 2000)
    moved = baselines.random_code_direction(codes, lengths, 0)
    np.testing.assert_allclose(np.linalg.norm(moved - codes, axis=1), lengths, atol=1e-5)
    directions = (moved - codes)[1:] / lengths[1:, None]
    np.testing.assert_allclose(directions.mean(0), np.zeros(3), atol=0.06)
    np.testing.assert_allclose(directions.T @ directions / 1999, np.eye(3) / 3, atol=0.03)
    np.testing.assert_array_equal(baselines.random_code_direction(codes, lengths, 0), moved)
    with pytest.raises(ValueError, match="lengths"):
        baselines.random_code_direction(codes, lengths[:5], 0)


def test_randomised_parameters_keep_their_mean_and_spread_only():
    rng = np.random.default_rng(2)
    params = {
        "kernel": rng.normal(3.0, 0.5, (60, 70)).astype(np.float32),
        "other": rng.normal(3.0, 0.5, (60, 70)).astype(np.float32),
        "bias": np.zeros(7, np.float32),
        "count": np.asarray([1, 2]),
    }
    drawn = baselines.randomise(params, 0)
    assert drawn.keys() == params.keys()
    assert drawn["kernel"].dtype == np.float32
    np.testing.assert_allclose(drawn["kernel"].mean(), params["kernel"].mean(), atol=0.03)
    np.testing.assert_allclose(drawn["kernel"].std(), params["kernel"].std(), rtol=0.05)
    for a, b in ((drawn["kernel"], params["kernel"]), (drawn["kernel"], drawn["other"])):
        assert abs(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]) < 0.08
    np.testing.assert_array_equal(drawn["bias"], params["bias"])
    np.testing.assert_array_equal(drawn["count"], params["count"])
    np.testing.assert_array_equal(baselines.randomise(params, 0)["kernel"], drawn["kernel"])
    assert (np.asarray(baselines.randomise(params, 1)["kernel"]) != np.asarray(drawn["kernel"])).any()
