"""Phantoms: what is drawn where, what a row's true answers are, and the variants by name."""

import numpy as np
import pytest

from cae_jax.data import DataUnavailable, open_dataset, true_answers
from cae_jax.data.phantom import CONTRAST, FINDINGS, GRADES, draw_finding, draw_individual, mask_of_mark, render
from cae_jax.data.phantom_builder import draw_case, read_variant

SIDE = 48


@pytest.fixture(scope="module")
def individual():
    return draw_individual((0, 0, 3))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return open_dataset("phantom/4_32_rgb_mark_n36", str(tmp_path_factory.mktemp("phantoms")))


def test_a_finding_changes_its_own_pixels_only_and_by_its_grade(individual):
    normal = render(individual, 0, 0, SIDE).astype(float) / 255
    for finding in range(1, len(FINDINGS)):
        share = draw_finding(individual, finding, SIDE)
        assert 0.005 < (share > 0.5).mean() < 0.05
        for grade, strength in enumerate(GRADES):
            change = (render(individual, finding, grade, SIDE)[..., 0] / 255.0 - normal[..., 0]) * (share > 0)
            whole = render(individual, finding, grade, SIDE) / 255.0 - normal
            np.testing.assert_array_equal(whole[..., 0], change)  # nothing outside
            inside = change[share == 1].mean()
            wanted = CONTRAST * strength * (-1 if FINDINGS[finding] == "cyst" else 1)
            assert inside == pytest.approx(wanted, rel=0.1)  # up to where brightness ends at 0 and 1


def test_a_normal_individual_has_no_finding_in_any_grade(individual):
    assert not draw_finding(individual, 0, SIDE).any()
    for grade in range(len(GRADES)):
        np.testing.assert_array_equal(render(individual, 0, grade, SIDE), render(individual, 0, 0, SIDE))


def test_individuals_differ_and_repeat_by_seed(individual):
    again, other = draw_individual((0, 0, 3)), draw_individual((0, 0, 4))
    np.testing.assert_array_equal(render(again, 1, 1, SIDE), render(individual, 1, 1, SIDE))
    assert np.abs(render(other, 1, 1, SIDE) - render(individual, 1, 1, SIDE).astype(float)).mean() > 5


def test_an_individual_looks_the_same_at_any_size(individual):
    small, large = (render(individual, 3, 2, side) / 255.0 for side in (32, 128))
    shrunk = large.reshape(32, 4, 32, 4).mean((1, 3))
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.97


def test_a_mark_is_in_its_corner_and_brightness_everywhere(individual):
    plain, marked, bright = (
        render(individual, 0, 0, SIDE, 3, shortcut) / 255.0 for shortcut in ("none", "mark", "brightness")
    )
    np.testing.assert_array_equal((plain != marked).any(-1), mask_of_mark(SIDE))
    np.testing.assert_allclose((bright - plain).mean(), 0.1, atol=0.005)


def test_the_stored_images_are_the_true_answers_of_their_own_class(dataset):
    assert dataset.class_names == FINDINGS
    assert [len(dataset.split(name)) for name in ("train", "validation", "test")] == [36, 6, 12]
    for split in ("train", "test"):
        source = dataset.split(split)
        rows = np.arange(len(source))
        images, truth = source.take(rows), true_answers(dataset.name, split, rows, FINDINGS)
        assert truth.counterfactuals.shape == (len(rows), 4, len(GRADES), 32, 32, 3)
        own = truth.counterfactuals[rows, source.labels]
        assert (own == images[:, None]).all((2, 3, 4)).any(1).all()
        np.testing.assert_array_equal(truth.masks.any((1, 2)), source.labels > 0)
        changed = (truth.counterfactuals[:, 0, 0] != images).any(-1)
        assert (changed | ~truth.masks).all()
        turned = true_answers(dataset.name, split, rows, FINDINGS[::-1])
        np.testing.assert_array_equal(turned.counterfactuals[rows, 3 - source.labels], own)


def test_train_and_test_share_no_individual():
    variant = read_variant("2_32")
    seen = {draw_case(variant, split, row).individual.noise for split in ("train", "test") for row in range(20)}
    assert len(seen) == 40


def test_a_planted_mark_tells_the_class_in_training_only():
    def agreement(name, split):
        cases = [draw_case(read_variant(name), split, row) for row in range(150)]
        return np.mean([case.planted == (case.finding > 0) for case in cases])

    assert agreement("2_32_mark", "train") > 0.94
    assert agreement("2_32_mark", "validation") > 0.94
    for name, split in (("2_32_mark", "test"), ("2_32_mark_random", "train")):
        assert 0.35 < agreement(name, split) < 0.65
    assert not any(draw_case(read_variant("2_32"), "train", row).planted for row in range(20))


@pytest.mark.parametrize("name", ["3_64", "4_31", "4_257", "4_64_mark_rgb", "4_64_n29", "4_64_random", "", "4_64_x"])
def test_a_variant_that_does_not_exist_says_how_to_write_one(name, tmp_path):
    with pytest.raises(DataUnavailable, match=r"no variant.*write phantom/<classes>_<side>"):
        open_dataset(f"phantom/{name}", str(tmp_path))


def test_true_answers_of_real_images_are_not_known():
    with pytest.raises(ValueError, match=r"known for phantom/... only, not for mnist"):
        true_answers("mnist", "test", np.arange(2), FINDINGS)
