"""Where maps point, by hand."""

import numpy as np
import pytest

from cae_jax import metrics

MASK = np.zeros((1, 4, 5), bool)
MASK[0, 1:3, 1:3] = True  # 4 of 20 pixels
ALL = ("pointing_game", "relevance_rank_accuracy", "relevance_mass_accuracy", "top_k_iou")


def score(saliency, mask=MASK):
    return {name: float(getattr(metrics, name)(np.asarray(saliency, float), mask)[0]) for name in ALL}


def test_the_mask_itself_is_right_and_its_opposite_wrong():
    assert set(score(MASK).values()) == {1.0}
    assert set(score(~MASK).values()) == {0.0}


def test_half_in_half_out():
    saliency = np.zeros((1, 4, 5))
    saliency[0, 1, 1:5] = [4.0, 3.0, 2.0, 1.0]  # two of four pixels inside, with 7 of 10
    found = score(saliency)
    assert found == pytest.approx(dict(zip(ALL, (1.0, 0.5, 0.7, 2 / 6), strict=True)))


def test_what_ties_counts_by_its_expectation():
    found = score(np.ones((1, 4, 5)))
    assert found == pytest.approx(dict(zip(ALL, (0.2, 0.2, 0.2, 0.8 / 7.2), strict=True)))
    saliency = np.zeros((1, 4, 5))
    saliency[0, 1, 1] = saliency[0, 0, 0] = 5.0
    assert score(saliency)["pointing_game"] == 0.5


def test_negative_relevance_has_no_mass():
    saliency = np.full((1, 4, 5), -1.0)
    saliency[0, 1, 1] = 2.0
    saliency[0, 0, 0] = 2.0
    assert score(saliency)["relevance_mass_accuracy"] == 0.5
    assert np.isnan(score(-np.ones((1, 4, 5)))["relevance_mass_accuracy"])


@pytest.mark.parametrize("name", ALL)
def test_an_empty_mask_is_no_hit_but_not_a_number(name):
    metric = getattr(metrics, name)
    saliency = np.random.default_rng(0).random((2, 4, 5))
    found = metric(saliency, np.concatenate([MASK, np.zeros_like(MASK)]))
    assert np.isfinite(found[0])
    assert np.isnan(found[1])


@pytest.mark.parametrize("name", ALL)
def test_random_maps_hit_as_often_as_the_mask_is_large(name):
    saliency = np.random.default_rng(1).random((3000, 4, 5))
    found = getattr(metrics, name)(saliency, np.repeat(MASK, 3000, axis=0))
    if name == "top_k_iou":  # of hypergeometric intersections
        from scipy.stats import hypergeom

        hits = np.arange(5)
        chance = (hypergeom(20, 4, 4).pmf(hits) * hits / (8 - hits)).sum()
    else:
        chance = 0.2
    assert found.mean() == pytest.approx(chance, abs=4 * found.std() / np.sqrt(3000))


@pytest.mark.parametrize("name", ALL)
def test_shapes_that_do_not_go_together_are_said(name):
    with pytest.raises(ValueError, match=r"must both be \[N, height, width\]"):
        getattr(metrics, name)(np.zeros((1, 4, 4)), MASK)
    with pytest.raises(ValueError, match=r"not .* and int64"):
        getattr(metrics, name)(np.zeros((1, 4, 5)), MASK.astype(int))
