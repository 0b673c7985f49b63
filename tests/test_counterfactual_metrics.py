"""What counterfactual images are worth, by hand; distances between distributions; intervals."""

import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax import metrics
from cae_jax.metrics import counterfactual_images

RNG = np.random.default_rng(0)


def test_validity_is_the_target_as_the_answer():
    answers = np.asarray([[0.1, 0.9], [0.6, 0.4], [0.5, 0.5]])
    np.testing.assert_array_equal(metrics.validity(answers, np.asarray([1, 1, 0])), [True, False, True])
    with pytest.raises(ValueError, match="do not go with targets"):
        metrics.validity(answers, np.asarray([1]))


def test_distances_and_sparsity_of_one_changed_pixel():
    image = np.zeros((1, 2, 5, 3))
    other = image.copy()
    other[0, 1, 2] = [0.6, 0.0, 0.0]
    assert metrics.l1_distance(image, other)[0] == pytest.approx(0.6 / 30)
    assert metrics.l2_distance(image, other)[0] == pytest.approx(np.sqrt(0.36 / 30))
    assert metrics.sparsity(image, other, 0.5)[0] == pytest.approx(0.1)
    assert metrics.sparsity(image, other, 0.7)[0] == 0.0
    for distance in (metrics.l1_distance, metrics.l2_distance):
        assert distance(image, image)[0] == 0
        assert distance(np.zeros((1, 2, 2, 1)), np.ones((1, 2, 2, 1)))[0] == 1
        with pytest.raises(ValueError, match="must both be"):
            distance(image, other[..., :1])


def test_structural_similarity_is_that_of_another_implementation():
    """The figure is that of `skimage.metrics.structural_similarity` with the published settings, borders left out."""
    y, x = np.mgrid[:16, :16] / 16.0
    image, other = np.sin(6 * x) * np.cos(4 * y) * 0.4 + 0.5, np.sin(6 * x + 0.5) * np.cos(4 * y) * 0.3 + 0.5
    found = metrics.structural_similarity(image[None, ..., None], other[None, ..., None])
    np.testing.assert_allclose(found, [0.820822], atol=1e-5)
    noise = RNG.random((3, 7, 7, 3))
    np.testing.assert_allclose(metrics.structural_similarity(noise, noise), 1.0, atol=1e-6)
    assert (metrics.structural_similarity(noise, noise[::-1].copy())[[0, 2]] < 0.5).all()
    with pytest.raises(ValueError, match="must both be"):
        metrics.structural_similarity(noise, noise[:1])


def test_the_distance_to_classes_compares_each_class_with_its_own():
    first, second = RNG.normal(0.0, 0.3, size=(200, 4)), RNG.normal(2.0, 0.3, size=(200, 4))
    real, real_classes = np.concatenate([first[:100], second[:100]]), np.repeat([0, 1], 100)
    images = np.concatenate([first[100:], second[100:]])
    right = metrics.kid_to_classes(images, real_classes, real, real_classes)
    wrong = metrics.kid_to_classes(images, 1 - real_classes, real, real_classes)
    assert abs(right) < 5 < 50 < wrong
    one = metrics.kid(first[100:], first[:100])
    assert metrics.kid_to_classes(first[100:], np.zeros(100, int), real, real_classes) == pytest.approx(one)
    assert np.isnan(metrics.kid_to_classes(images[:1], np.zeros(1, int), real, real_classes))


def test_the_truth_is_the_nearest_of_several():
    image = np.full((2, 2, 2, 1), 0.5)
    truths = np.stack([np.stack([np.full((2, 2, 1), level) for level in levels]) for levels in ((0, 0.6), (0.4, 0.9))])
    np.testing.assert_allclose(metrics.distance_to_truth(image, truths), [0.1, 0.1])
    with pytest.raises(ValueError, match="truths must be"):
        metrics.distance_to_truth(image, truths[:, 0])


def test_diversity_is_over_the_pairs_that_are_there():
    images = np.zeros((3, 3, 2, 2, 1))
    images[0, 1], images[0, 2] = 0.3, 0.6  # pairs 0.3, 0.6, 0.3
    images[1, 1], images[1, 2] = 0.5, np.nan
    images[2, 1:] = np.nan
    np.testing.assert_allclose(metrics.diversity(images), [0.4, 0.5, np.nan])
    assert np.isnan(metrics.diversity(images[:, :1])).all()


def first_pixel(images):
    first = images[:, 0, 0, 0]
    return jnp.stack([1 - first, first], axis=-1)


def test_cout_is_high_where_the_largest_change_carries_all_of_it():
    image = np.zeros((1, 4, 4, 1))
    few, many = image.copy(), image.copy()
    few[0, 0, 0] = 1.0
    many[0] = 1.0
    many[0, 0, 0] = 0.99  # what matters is exchanged last
    rows = (np.asarray([0]), np.asarray([1]))
    high = metrics.cout(first_pixel, image, few, *rows, steps=16)[0]
    low = metrics.cout(first_pixel, image, many, *rows, steps=16)[0]
    assert high == pytest.approx(1 - 1 / 16)  # the first step's triangle is missing, in both curves
    assert low == pytest.approx(-1 + 1 / 16, abs=0.01)
    assert metrics.cout(first_pixel, image, image, *rows)[0] == pytest.approx(-1)


def test_similarity_of_a_few_images_is_computed_for_no_more(monkeypatch):
    rows = []
    original = counterfactual_images._ssim
    monkeypatch.setattr(counterfactual_images, "_ssim", lambda a, b: (rows.append(len(a)), original(a, b))[1])
    images = RNG.random((3, 8, 8, 1))
    assert metrics.structural_similarity(images, images).tolist() == [1.0] * 3
    assert rows == [3]


def test_kid_is_about_zero_for_one_distribution_and_grows_with_the_difference():
    real = RNG.normal(size=(400, 6))
    same, near, far = (metrics.kid(RNG.normal(loc=shift, size=(400, 6)), real) for shift in (0.0, 0.5, 2.0))
    assert abs(same) < 0.1 < near < far
    assert metrics.kid(real, real + 1.0, seed=3) == metrics.kid(real, real + 1.0, seed=3)
    with pytest.raises(ValueError, match=r"\[2 or more, d\] on both sides"):
        metrics.kid(real[:1], real)
    with pytest.raises(ValueError, match="on both sides"):
        metrics.kid(real[:, :3], real)


def test_an_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        _, low, high = metrics.bootstrap_interval(rng.normal(size=60), trial, 300)
        covered += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_rows_that_are_not_numbers_are_left_out():
    values = np.asarray([1.0, np.nan, 3.0])
    assert metrics.bootstrap_interval(values, 0)[0] == 2.0
    assert np.isnan(metrics.bootstrap_interval(np.asarray([np.nan]), 0)).all()
    difference = metrics.paired_difference(np.asarray([1.0, np.nan, 3.0]), np.asarray([0.5, 1.0, np.nan]), 0)
    assert difference == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="as many values"):
        metrics.paired_difference(values, values[:2], 0)


def test_a_paired_difference_is_surer_than_two_intervals():
    rng = np.random.default_rng(2)
    ours = rng.normal(size=100)
    others = ours - 0.1 + 0.05 * rng.normal(size=100)
    _, low, _ = metrics.paired_difference(ours, others, 0)
    assert low > 0
    assert metrics.bootstrap_interval(ours, 0)[1] < metrics.bootstrap_interval(others, 0)[2]
