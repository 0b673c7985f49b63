"""Paths walked by their length, against NumPy's interpolation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.counterfactual import along_path, pad_waypoints

pytestmark = pytest.mark.usefixtures("strict")

ROWS, POINTS, SIZE = 64, 6, 3

_walk = jax.jit(along_path)


def walk(waypoints, shift):
    return np.asarray(_walk(jnp.asarray(waypoints, jnp.float32), jnp.asarray(shift, jnp.float32)))


def walk_by_hand(path, shift):
    """The point at a share of the length of one path, `[points, size]`."""
    path = path.astype(np.float64)
    reached = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    return np.stack([np.interp(shift * reached[-1], reached, numbers) for numbers in path.T])


def polylines(seed=0):
    return np.random.default_rng(seed).normal(0.0, 3.0, (ROWS, POINTS, SIZE)).astype(np.float32)


def whole_numbers(seed=0):
    return np.random.default_rng(seed).integers(-8, 8, (ROWS, POINTS, SIZE)).astype(np.float32)


@pytest.mark.parametrize("repeats", [False, True])
def test_a_share_of_the_length_is_where_interpolation_by_length_puts_it(repeats):
    rng = np.random.default_rng(1)
    paths = polylines()
    if repeats:  # at the beginning, within, at the end
        paths[0::3, 1:3] = paths[0::3, :1]
        paths[1::3, 3] = paths[1::3, 2]
        paths[2::3, 3:] = paths[2::3, -1:]
    for shift in np.concatenate([np.linspace(0.0, 1.0, 9)[None].repeat(ROWS, 0), rng.uniform(size=(ROWS, 20))], 1).T:
        expected = [walk_by_hand(*row) for row in zip(paths, shift, strict=True)]
        np.testing.assert_allclose(walk(paths, shift), expected, atol=2e-5)


def test_two_points_make_a_straight_line():
    paths = polylines()[:, :2]
    shift = np.random.default_rng(2).uniform(size=ROWS).astype(np.float32)
    straight = paths[:, 0] + shift[:, None] * (paths[:, 1] - paths[:, 0])
    np.testing.assert_allclose(walk(paths, shift), straight, atol=1e-5)


def test_the_shares_of_a_path_are_as_far_apart_as_its_length_says():
    path = np.asarray([[0.0, 0.0], [3.0, 0.0], [3.0, 1.0]], np.float32)
    found = walk(np.repeat(path[None], 5, 0), [0.0, 0.25, 0.75, 0.875, 1.0])
    np.testing.assert_allclose(found, [[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [3.0, 0.5], [3.0, 1.0]], atol=1e-6)


def test_a_path_begins_exactly_at_its_first_point():
    paths = polylines()
    np.testing.assert_array_equal(walk(paths, np.zeros(ROWS)), paths[:, 0])
    paths[:, 1] = paths[:, 0]
    np.testing.assert_array_equal(walk(paths, np.zeros(ROWS)), paths[:, 0])


@pytest.mark.parametrize("paths", [whole_numbers(), polylines()], ids=["whole numbers", "any numbers"])
def test_a_path_ends_exactly_at_its_last_point(paths):
    np.testing.assert_array_equal(walk(paths, np.ones(ROWS)), paths[:, -1])
    paths = paths.copy()
    paths[:, -2] = paths[:, -1]
    np.testing.assert_array_equal(walk(paths, np.ones(ROWS)), paths[:, -1])


def test_a_path_without_length_stays_where_it_is():
    paths = np.repeat(polylines()[:, :1], POINTS, axis=1)
    for shift in (0.0, 0.3, 1.0):
        np.testing.assert_array_equal(walk(paths, np.full(ROWS, shift)), paths[:, 0])


def test_short_paths_repeat_their_last_point():
    paths = [polylines(seed)[0, :count] for seed, count in enumerate((1, 2, 5))]
    padded = pad_waypoints(paths, 5)
    assert padded.dtype == np.float32
    assert padded.shape == (3, 5, SIZE)
    for row, path in zip(padded, paths, strict=True):
        np.testing.assert_array_equal(row[: len(path)], path)
        np.testing.assert_array_equal(row[len(path) :], np.broadcast_to(path[-1], (5 - len(path), SIZE)))


def test_of_long_paths_evenly_spread_points_are_kept_and_both_ends():
    numbered = [np.arange(count, dtype=np.float64)[:, None] for count in (9, 10, 57, 200)]
    padded = pad_waypoints(numbered, 9)
    assert padded[0, :, 0].tolist() == list(range(9))
    for row, path in zip(padded[:, :, 0], numbered, strict=True):
        assert (row[0], row[-1]) == (0, len(path) - 1)
        gaps = np.diff(row)
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1


def test_padding_leaves_a_path_what_it_was():
    paths = polylines(3)
    padded = pad_waypoints(list(paths), 32)
    for shift in np.linspace(0.0, 1.0, 11):
        where = np.full(ROWS, shift)
        np.testing.assert_allclose(walk(padded, where), walk(paths, where), atol=1e-5)
