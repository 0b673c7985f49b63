"""Scores of a generator, on models whose answers are known."""

import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.data import ArraySource
from cae_jax.metrics import balanced_rate, collapse_reason, draw_swaps, validation_score
from cae_jax.parallel import batching
from cae_jax.training.evaluation import Evaluator, Functions, some_of_each

LABELS = np.arange(20, dtype=np.int32) % 2


def scores_of(decode, svm=None):
    """Of a model on images that are grey, of a brightness for each class, with a corner of their own."""
    images = np.full((20, 4, 4, 1), 40, np.uint8) + 120 * LABELS[:, None, None, None].astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(20)
    source = ArraySource(images, LABELS)

    def encode(params, images):
        return jnp.asarray(images, jnp.float32) / 255, jnp.asarray(images, jnp.float32)[:, 3, 3] / 255

    def predict(images):
        bright = (jnp.asarray(images)[:, 3, 3, 0] > 0.3).astype(jnp.float32)
        return jnp.stack([1 - bright, bright], -1)

    functions = Functions(
        encode,
        encode,
        lambda params, individual, code: decode(individual, code),
        lambda params, images: images,
        predict,
        predict,
        svm,
    )
    return Evaluator(functions, source, LABELS, source, LABELS, seed=0).validate(None)


def test_the_second_judge_says_of_swaps_and_images_what_it_sees_beside_the_oracle():
    sees = lambda images: np.asarray(images[:, 3, 3, 0] > (76.5 if images.dtype == np.uint8 else 0.3), np.int32)  # noqa: E731
    scores = scores_of(only_a_pixel, sees)
    assert scores["swap_svm_rate"] == scores["swap_oracle_rate"] == scores["svm_agreement"] == 1.0
    blind = scores_of(only_a_pixel, lambda images: np.zeros(len(images), np.int32))
    assert blind["svm_agreement"] == blind["svm_accuracy"] == np.mean(LABELS == 0)
    assert 0.3 < blind["swap_svm_rate"] < 0.7
    assert blind["swap_oracle_rate"] == 1.0
    assert not {"swap_svm_rate", "svm_agreement", "svm_accuracy"} & set(scores_of(only_a_pixel))


def only_a_pixel(individual, code):
    return jnp.asarray(individual).at[:, 3, 3].set(code)


def the_whole_image(individual, code):
    return jnp.broadcast_to(code[:, None, None], individual.shape)


def test_a_swap_s_change_is_a_share_of_what_tells_the_donor_from_the_exemplar():
    few, many = scores_of(only_a_pixel), scores_of(the_whole_image)
    assert few["swap_flip_rate"] == many["swap_flip_rate"] == 1.0
    assert few["swap_change"] == pytest.approx(1 / 15, rel=0.02)  # the corner differs by little
    assert 1.0 <= many["swap_change"] < 1.1


def test_of_two_checkpoints_that_flip_alike_the_one_that_changes_less_is_better():
    few, many = scores_of(only_a_pixel), scores_of(the_whole_image)
    assert few["swap_probability"] == many["swap_probability"]
    assert validation_score(few) > validation_score(many)


def test_where_swaps_must_change_much_a_little_less_of_it_does_not_outweigh_the_rest():
    names = ("swap_probability", "reconstruction_probability", "reconstruction_l1", "swap_change")
    runs = (0.920, 0.911, 0.068, 0.731), (0.931, 0.961, 0.047, 0.778)  # of X-rays; the oracle saw through the first
    early, late = (validation_score(dict(zip(names, values, strict=True))) for values in runs)
    assert late > early
    runs = (0.9, 0.9572, 0.0388, 0.578), (0.9, 0.9852, 0.0327, 0.643)  # of brain scans; the oracle saw 0.820 and 0.877
    early, late = (validation_score(dict(zip(names, values, strict=True))) for values in runs)
    assert late > early


def test_a_sharper_drawing_outweighs_the_change_that_comes_with_it():
    names = ("swap_probability", "reconstruction_probability", "reconstruction_ssim", "swap_change")
    # Of brain scans, steps 1,500 and 2,000: swaps flip in 0.919 and 0.929, the oracle sees 0.879 and 0.900.
    runs = (0.8795, 0.9528, 0.8494, 0.6227), (0.8810, 0.9514, 0.8551, 0.6427)
    early, late = (
        validation_score(dict(zip(names, values, strict=True)) | {"reconstruction_l1": 0.028}) for values in runs
    )
    assert late > early


def test_a_drawing_that_looks_like_its_opposite_scores_nothing():
    scores = {"swap_probability": 1.0, "reconstruction_probability": 1.0, "reconstruction_l1": 0.9, "swap_change": 0.0}
    assert validation_score(scores | {"reconstruction_ssim": -0.2}) == 0.0


def uneven(count, rare):
    return (np.arange(count) < rare).astype(np.int32)


@pytest.mark.parametrize(
    ("hits", "classes", "expected"),
    [
        ([1, 1, 1, 0], [0, 0, 0, 1], 0.5),  # the common class alone is right
        ([1, 0, 1, 0, 0, 0], [0, 0, 1, 1, 2, 2], 1 / 3),
        ([0.5, 1.0], [7, 3], 0.75),
    ],
)
def test_a_balanced_rate_is_the_mean_of_the_classes_own(hits, classes, expected):
    found = balanced_rate(np.asarray(hits, float), np.asarray(classes))
    assert found.rate == pytest.approx(expected)


def test_a_class_of_few_images_is_less_certain():
    one, many = (balanced_rate(np.zeros(n), np.arange(n) % 2) for n in (2, 200))
    assert one.error == pytest.approx(np.sqrt(2 * (1 / 3 * 2 / 3) / 3) / 2)
    assert many.error < 0.01


def test_of_a_rare_class_as_many_images_are_drawn_as_can_outvote_the_others():
    classes = np.zeros(5000, int)
    classes[[7, 8, 9, 10]], classes[11] = 1, 2
    rows = some_of_each(classes, 2000, seed=0)
    assert len(set(rows)) == len(rows)
    assert 2000 <= len(rows) <= 2004
    assert np.bincount(classes[rows])[1:].tolist() == [3, 1]
    few = classes[:4]
    assert sorted(some_of_each(few, 2000, seed=0)) == [0, 1, 2, 3]
    even = np.arange(5000) % 10
    np.testing.assert_array_equal(
        np.sort(some_of_each(even, 2000, seed=0)), np.sort(np.random.default_rng(0).permutation(5000)[:2000])
    )


def scores_on(classes, decode):
    """Of a model whose class code is a brightness and whose swaps are what `decode` says, on uneven classes."""
    images = np.full((len(classes), 4, 4, 1), 40, np.uint8) + 120 * classes[:, None, None, None].astype(np.uint8)
    source = ArraySource(images, classes)

    def predict(images):
        bright = (np.asarray(images)[:, 3, 3, 0] > 0.3).astype(np.float32)
        return np.stack([1 - bright, bright], -1)

    encode = lambda params, images: (images[..., :1] / np.float32(255), images[:, 3, 3] / np.float32(255))  # noqa: E731
    functions = Functions(encode, encode, lambda _, *codes: decode(*codes), lambda _, images: images, predict, predict)
    evaluator = Evaluator(functions, source, classes, source, classes, seed=0)
    return evaluator.validate(None), evaluator.chance


def donors(individual, code):
    return np.broadcast_to(code[:, None, None], individual.shape)


def donors_but_some(individual, code):
    return np.where(np.arange(len(code))[:, None, None, None] % 20 == 0, individual, donors(individual, code))


@pytest.mark.parametrize("rare", [1, 40])
@pytest.mark.parametrize("decode", [donors, donors_but_some], ids=lambda f: f.__name__)
def test_swaps_that_flip_are_no_collapse_however_rare_a_class(decode, rare):
    assert collapse_reason(*scores_on(uneven(1000, rare), decode)) == ""


@pytest.mark.parametrize(
    "decode",
    [
        lambda individual, code: individual,
        lambda individual, code: np.full_like(individual, 0.1),
        lambda individual, code: np.full_like(individual, 0.9),
    ],
    ids=["unchanged", "all common", "all rare"],
)
def test_swaps_that_know_nothing_of_the_donor_are_a_collapse_however_uneven_the_classes(decode):
    scores, chance = scores_on(uneven(1000, 40), decode)
    assert chance == 0.5
    assert scores["swap_flip_rate_balanced"] in (0.0, 0.5)
    rate = f"{scores['swap_flip_rate_balanced']:.2f}"
    reason = collapse_reason(scores, chance)
    assert reason == f"swaps take their donor's class no more often than by chance: {rate}, by chance 0.50"


def test_a_class_code_that_tells_nothing_is_a_collapse():
    scores = {"swap_flip_rate": 0.9, "class_code_knn_accuracy": 0.12}
    assert collapse_reason(scores, 0.1) == "the class code tells the class no better than chance: 0.12, by chance 0.10"
    assert collapse_reason(scores | {"class_code_knn_accuracy": 0.5}, 0.1) == ""


def test_two_images_prove_no_collapse():
    scores, chance = scores_on(np.asarray([0, 1], np.int32), lambda individual, code: np.full_like(individual, 0.9))
    assert scores["swap_flip_rate_balanced"] == chance == 0.5
    assert collapse_reason(scores, chance) == ""


def test_swaps_in_parts_are_the_swaps_that_were_drawn(monkeypatch):
    classes = np.asarray([0, 1, 1, 0, 1, 0, 0], np.int32)
    monkeypatch.setattr(batching, "MOST_ROWS", 4)
    seen = []

    def note(individual, code):
        seen.append(np.stack([individual[:, 0, 0, 0], code[:, 0]], -1))
        return donors(individual, code)

    images = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    source = ArraySource(images, classes)
    encode = lambda _, images: (images[..., :1].astype(np.float32), 10 + images[:, 3, 3].astype(np.float32))  # noqa: E731
    predict = lambda images: np.eye(2)[classes[np.asarray(images)[:, 0, 0, 0].astype(int) % 7]]  # noqa: E731
    functions = Functions(
        encode, encode, lambda _, *codes: note(*codes) * 0, lambda _, images: images, predict, predict
    )
    Evaluator(functions, source, classes, source, classes, seed=3)._swaps(None, np.arange(7)[:, None] + 10.0, 30)
    exemplar, donor = draw_swaps(classes, 30, 3)
    expected = sorted(zip(exemplar.tolist(), (donor + 10).tolist(), strict=True))
    found = [tuple(row) for rows in seen for row in rows.astype(int).tolist()]
    assert found[30:] == found[29:30] * 2  # what fills the last call
    assert sorted(found[:30]) == expected


def test_no_more_individual_codes_are_held_than_a_call_makes(monkeypatch):
    monkeypatch.setattr(batching, "MOST_ROWS", 4)
    classes = uneven(500, 100)
    each = 128 * 128 * 16 * 4

    def wide(individual, code):
        return donors(individual[:, :4, :4, :1], code)

    images = np.full((500, 4, 4, 1), 40, np.uint8) + 120 * classes[:, None, None, None].astype(np.uint8)
    source = ArraySource(images, classes)
    encode = lambda _, x: (np.zeros((len(x), 128, 128, 16), np.float32), x[:, 3, 3] / np.float32(255))  # noqa: E731
    predict = lambda x: np.eye(2)[(np.asarray(x)[:, 3, 3, 0] > 0.3).astype(int)]  # noqa: E731
    functions = Functions(encode, encode, lambda _, *codes: wide(*codes), lambda _, x: x, predict, predict)
    evaluator = Evaluator(functions, source, classes, source, classes, seed=0)
    evaluator.validate(None)  # whatever is loaded the first time
    tracemalloc.start()
    evaluator.validate(None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * each + 2**20  # of 500 images
