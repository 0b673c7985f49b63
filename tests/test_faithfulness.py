"""Curves of removed pixels, on classifiers whose answers to them are known."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax import metrics
from cae_jax.metrics.faithfulness import rank_cells
from cae_jax.metrics.fills import spread_cells

SIDE = 6
BLACK = metrics.mean_fill(np.zeros(1))


def brightness(images):
    """The probability of class 1 is the mean brightness."""
    mean = images.mean((1, 2, 3))
    return jnp.stack([1 - mean, mean], axis=-1)


def corner(images):
    """The probability of class 1 is the first pixel."""
    first = images[:, 0, 0, 0]
    return jnp.stack([1 - first, first], axis=-1)


def watch(predict, saliency, images=None, **options):
    images = np.ones((len(saliency), SIDE, SIDE, 1)) if images is None else images
    options = {"patch": 1, "steps": 4, "fill": BLACK} | options
    return metrics.perturbation_curves(predict, images, np.ones(len(saliency), int), saliency, **options)


def pointing_at(row, column):
    saliency = np.zeros((1, SIDE, SIDE))
    saliency[0, row, column] = 1.0
    return saliency


def test_a_curve_falls_with_every_share_that_is_gone_and_insertion_rises():
    saliency = np.random.default_rng(0).random((3, SIDE, SIDE))
    np.testing.assert_allclose(watch(brightness, saliency), [[1, 0.75, 0.5, 0.25, 0]] * 3, atol=1e-6)
    found = watch(brightness, saliency, mode="insert")
    np.testing.assert_allclose(found, [[0, 0.25, 0.5, 0.75, 1]] * 3, atol=1e-6)
    np.testing.assert_allclose(metrics.aopc(watch(brightness, saliency)), 0.5, atol=1e-6)
    np.testing.assert_allclose(metrics.area_under(found), 0.5, atol=1e-6)


def test_the_right_map_loses_everything_at_once_and_the_wrong_one_at_the_end():
    right, wrong = watch(corner, pointing_at(0, 0)), watch(corner, -pointing_at(0, 0))
    np.testing.assert_array_equal(right, [[1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(wrong, [[1, 1, 1, 1, 0]])
    np.testing.assert_allclose(metrics.aopc(right), 0.8)
    np.testing.assert_allclose(metrics.area_between(right, watch(corner, pointing_at(0, 0), order="lerf")), 0.6)
    np.testing.assert_allclose(metrics.area_under(right), 0.125)
    np.testing.assert_array_equal(watch(corner, pointing_at(0, 0), mode="insert"), [[0, 1, 1, 1, 1]])


def test_a_random_map_and_a_constant_one_score_at_chance():
    saliency = np.random.default_rng(1).random((400, SIDE, SIDE))
    for maps in (saliency, np.zeros_like(saliency)):
        first, last = (watch(corner, maps, steps=36, order=order) for order in ("morf", "lerf"))
        between = metrics.area_between(first, last)
        # The corner is gone at a uniform step: the two orders' curves differ by 0 on average.
        assert abs(between.mean()) <= 4 * between.std() / 20
        assert metrics.aopc(first).mean() == pytest.approx(0.5, abs=float(metrics.aopc(first).std()) / 5)


def test_cells_rank_by_their_mean_smaller_ones_at_the_edge_too():
    saliency = np.zeros((1, 5, 5))
    saliency[0, :, 4] = 1.0  # the last column is a cell's only one
    saliency[0, 0, 0] = 2.0
    ranks = rank_cells(saliency, 2, 0)
    assert ranks.shape == (1, 3, 3)
    assert set(ranks[0, :, 2]) == {0, 1, 2}
    assert ranks[0, 0, 0] == 3
    assert sorted(ranks.ravel()) == list(range(9))


def test_all_pixels_of_a_cell_go_together():
    saliency = pointing_at(3, 3)
    images = np.arange(1, SIDE**2 + 1, dtype=float).reshape(1, SIDE, SIDE, 1) / 100
    found = watch(brightness, saliency, images, patch=2, steps=9)
    gone = images[0, 2:4, 2:4].sum()
    assert found[0, 1] == pytest.approx((images.sum() - gone) / 36, rel=1e-5)


def test_several_classifiers_are_watched_as_each_by_itself():
    saliency = np.random.default_rng(3).random((3, SIDE, SIDE))
    both = watch(lambda images: np.stack([brightness(images), corner(images)], axis=1), saliency)
    np.testing.assert_array_equal(both, [watch(brightness, saliency), watch(corner, saliency)])


def curves_apart(predict, images, classes, maps, *, patch, steps, fills):
    """LeRF−MoRF of maps, the mean over the fills, `[N]`."""
    curves = functools.partial(metrics.perturbation_curves, predict, images, classes, maps, patch=patch, steps=steps)
    apart = [metrics.area_between(*(curves(fill=fill, order=order) for order in ("morf", "lerf"))) for fill in fills]
    return np.mean(apart, axis=0)


@pytest.mark.parametrize(
    ("steps", "patch", "rounds", "share"),
    [
        (36, 1, 32, 0.99),
        (9, 1, 32, 0.95),
        (4, 1, 32, 0.7),
        (4, 1, 200, 0.95),
        (3, 2, 200, 0.95),
        (4, 4, 32, 0.95),
        (2, 3, 200, 0.95),
        (20, 2, 32, 0.99),
    ],
)
def test_a_search_comes_near_the_order_of_cells_that_count_by_themselves(steps, patch, rounds, share):
    rng = np.random.default_rng(4)
    weights = rng.permutation(SIDE**2).reshape(SIDE, SIDE).astype(np.float32)
    images = np.stack([np.ones((SIDE, SIDE, 1)), rng.random((SIDE, SIDE, 1))])

    @jax.jit
    def weighted(images):
        share = (images[..., 0] * weights).sum((1, 2)) / weights.sum()
        return jnp.stack([1 - share, share], axis=-1)

    cut = {"patch": patch, "steps": steps, "fills": [BLACK, metrics.mean_fill(np.asarray([0.25]))]}
    classes = np.asarray([1, 1])
    # Cells count by themselves, so that the best order is that of what is lost with each, the mean over the fills.
    lost = np.pad(weights * (images[..., 0] - 0.125), ((0, 0), (0, -SIDE % patch), (0, -SIDE % patch)))
    rows = lost.shape[1] // patch
    lost = lost.reshape(2, rows, patch, rows, patch).sum((2, 4))
    best = curves_apart(weighted, images, classes, np.asarray(spread_cells(lost, patch, SIDE, SIDE)), **cut)
    found = metrics.search_order(weighted, images, classes, seed=0, rounds=rounds, **cut)
    assert found.shape == images.shape[:3]
    assert (found > 0).all()
    assert (found.max((1, 2)) == 1).all()
    reached = curves_apart(weighted, images, classes, found, **cut)
    assert (reached <= best + 1e-6).all()
    assert (reached > share * best).all()
    again = metrics.search_order(weighted, images, classes, seed=0, rounds=rounds, **cut)
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("steps", [2, 3, 6])
def test_a_search_finds_the_best_of_all_orders_where_cells_count_together(steps):
    @jax.jit
    def together(images):
        first, second, third, fourth, _, last = jnp.moveaxis(images[..., 0].reshape(-1, 6), 1, 0)
        share = 0.4 * jnp.maximum(first, last) + 0.3 * second * third + 0.2 * fourth * (1 - second) + 0.1 * second
        return jnp.stack([1 - share, share], axis=-1)

    image, classes, cut = np.ones((1, 2, 3, 1)), np.ones(1, int), {"patch": 1, "steps": steps, "fills": [BLACK]}
    found = curves_apart(together, image, classes, metrics.search_order(together, image, classes, seed=0, **cut), **cut)
    orders = np.asarray(list(itertools.permutations(range(6))), np.float32).reshape(-1, 2, 3)
    every = curves_apart(together, np.repeat(image, len(orders), 0), np.ones(len(orders), int), orders, **cut)
    assert found[0] == pytest.approx(every.max(), abs=1e-6)
    assert np.mean(every > every.max() - 1e-6) < 0.2


@pytest.mark.parametrize("mode", ["delete", "insert"])
def test_other_images_in_the_batch_and_their_number_do_not_matter(mode):
    rng = np.random.default_rng(2)
    saliency, images = rng.random((130, SIDE, SIDE)), rng.random((130, SIDE, SIDE, 1))
    together = watch(brightness, saliency, images, mode=mode)
    order = rng.permutation(130)
    np.testing.assert_allclose(watch(brightness, saliency[order], images[order], mode=mode), together[order], rtol=1e-5)
    np.testing.assert_allclose(watch(brightness, saliency[:3], images[:3], mode=mode), together[:3], rtol=1e-5)


def test_road_counts_who_is_still_recognised():
    # Uniform images: what is imputed is what was there, so that nothing is forgotten but through noise.
    images = np.full((2, SIDE, SIDE, 1), 0.8)
    options = {"shares": (0.1, 0.5), "noise": 0.0}
    found = metrics.road(brightness, images, np.ones(2, int), np.zeros((2, SIDE, SIDE)), **options)
    np.testing.assert_array_equal(found, np.ones((2, 2)))
    images[:, 0, 0] = 0.2  # now the first pixel says class 0, and its neighbours would say 1
    maps = np.concatenate([pointing_at(0, 0), -pointing_at(0, 0)])
    found = metrics.road(corner, images, np.zeros(2, int), maps, shares=(1 / 36, 0.5), noise=0.0)
    np.testing.assert_array_equal(found, [[0, 0], [1, 1]])


@pytest.mark.parametrize("channels", [1, 3])
def test_imputed_ramps_are_whole_again_and_nothing_else_changes(channels):
    ramp = np.broadcast_to(np.linspace(0, 1, 9)[None, None, :, None], (2, 9, 9, channels)).astype(np.float32)
    removed = np.zeros((2, 9, 9), bool)
    removed[0, 3:6, 3:6] = True  # symmetric about the middle column
    filled = np.asarray(metrics.linear_imputation(jnp.asarray(ramp), jnp.asarray(removed)))
    np.testing.assert_allclose(filled[0], ramp[0], atol=1e-5)
    np.testing.assert_array_equal(filled[1], ramp[1])
    everything = metrics.linear_imputation(jnp.asarray(ramp), jnp.ones((2, 9, 9), bool))
    np.testing.assert_array_equal(everything, np.zeros_like(ramp))


def test_imputed_pixels_lie_between_those_that_are_left_however_long_others_in_the_batch_take():
    draw, gone, shares, dark = jax.random.split(jax.random.key(2), 4)
    images = jax.random.uniform(draw, (128, 28, 28, 1)) * (jax.random.uniform(dark, (128, 28, 28, 1)) > 0.8)
    cells = jax.random.uniform(gone, (128, 14, 14)) < jax.random.uniform(shares, (128, 1, 1))
    removed = metrics.spread_cells(cells, 2, 28, 28)
    filled = np.asarray(jax.jit(metrics.linear_imputation)(images, removed))
    assert filled.min() >= -1e-3
    assert filled.max() <= 1 + 1e-3


def test_blur_spreads_what_is_removed_and_keeps_flat_images():
    key = jax.random.key(0)
    flat = jnp.full((1, 8, 8, 3), 0.3)
    everywhere = jnp.ones((1, 8, 8), bool)
    np.testing.assert_allclose(metrics.blur_fill(2.0)(flat, everywhere, key), flat, rtol=1e-5)
    point = jnp.zeros((1, 9, 9, 1)).at[0, 4, 4].set(1.0)
    removed = jnp.zeros((1, 9, 9), bool).at[0, 4, 4].set(True).at[0, 4, 5].set(True)
    found = metrics.blur_fill(1.0)(point, removed, key)[0, ..., 0]
    peak = 1 / (np.sqrt(2 * np.pi)) ** 2
    assert float(found[4, 4]) == pytest.approx(peak, rel=0.02)
    assert float(found[4, 5]) == pytest.approx(peak * np.exp(-0.5), rel=0.02)
    assert float(jnp.abs(found).sum() - found[4, 4] - found[4, 5]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"saliency": np.zeros((1, 5, 6))}, r"must go together, not \(1, 6, 6, 1\), \(1,\) and \(1, 5, 6\)"),
        ({"saliency": np.full((1, 6, 6), np.nan)}, "saliency of image 0 is not finite"),
        ({"order": "best"}, "order is 'morf' or 'lerf'"),
        ({"mode": "erase"}, "mode 'delete' or 'insert'"),
    ],
)
def test_what_does_not_go_together_is_said(changes, message):
    saliency = changes.pop("saliency", np.zeros((1, SIDE, SIDE)))
    with pytest.raises(ValueError, match=message):
        watch(brightness, saliency, np.ones((1, SIDE, SIDE, 1)), **changes)
