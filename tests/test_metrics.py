"""Which swaps are scored, and the probes on codes that tell nothing or everything."""

import numpy as np
import pytest

from cae_jax.metrics import (
    draw_swaps,
    knn_accuracy,
    knn_predictions,
    linear_probe_accuracy,
    majority_share,
    mlp_probe_accuracy,
)
from cae_jax.metrics.probes import fit_convolutional_probe


def test_swaps_pair_different_classes_and_repeat_by_seed():
    predictions = np.random.default_rng(0).integers(0, 4, 50)
    exemplars, donors = draw_swaps(predictions, 2000, 3)
    assert exemplars.shape == donors.shape == (2000,)
    assert (predictions[exemplars] != predictions[donors]).all()
    assert set(exemplars) == set(donors) == set(range(50))
    np.testing.assert_array_equal((exemplars, donors), draw_swaps(predictions, 2000, 3))
    assert (exemplars != draw_swaps(predictions, 2000, 4)[0]).any()


def test_swaps_are_found_where_one_class_is_rare():
    predictions = np.zeros(500, int)
    predictions[7] = 1
    exemplars, donors = draw_swaps(predictions, 100, 0)
    assert ((exemplars == 7) != (donors == 7)).all()


def test_swaps_of_one_class_are_refused():
    with pytest.raises(ValueError, match="two predicted classes or more"):
        draw_swaps(np.full(10, 3), 5, 0)


def test_majority_share_by_hand():
    assert majority_share(np.asarray([0, 1, 1, 7])) == 0.5
    assert majority_share(np.asarray([5, 5])) == 1.0


def test_nearest_neighbours_by_hand():
    # Around 0 four zeros and a one; around 10 three ones and two zeros.
    codes = np.asarray([0.0, 0.1, 0.2, 0.3, 0.4, 10.0, 10.1, 10.2, 10.3, 10.4])[:, None]
    labels = np.asarray([0, 0, 1, 0, 0, 1, 1, 0, 1, 0])
    held_out = np.asarray([[0.2], [10.2], [9.0], [-5.0]])
    assert knn_accuracy(codes, labels, held_out, np.asarray([0, 1, 1, 0])) == 1.0
    assert knn_accuracy(codes, labels, held_out, np.asarray([1, 1, 0, 0])) == 0.5


def test_nearest_neighbours_of_fewer_than_five_codes():
    codes, labels = np.asarray([[0.0], [0.1], [9.0]]), np.asarray([2, 2, 3])
    assert knn_accuracy(codes, labels, np.zeros((1, 1)), np.asarray([2])) == 1.0


def make_codes(separable, count, seed):
    """Feature maps of three equally frequent classes: noise, or noise around a level of the class."""
    labels = np.tile(np.arange(3), count // 3)
    codes = np.random.default_rng(seed).normal(size=(count, 2, 2, 3)).astype(np.float32)
    if separable:
        codes[np.arange(count), :, :, labels] += 4.0
    return codes, labels


def convolutional_probe_accuracy(codes, labels, held_out, theirs):
    return float((fit_convolutional_probe(codes, labels, seed=0, steps=40)(held_out) == theirs).mean())


def test_neighbours_are_as_few_as_the_rarest_class_can_outvote():
    codes = np.concatenate([np.zeros((400, 2)), np.ones((2, 2))])
    labels = np.arange(402) // 400
    held_out = np.asarray([[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(knn_predictions(codes, labels, held_out), [0, 1])
    np.testing.assert_array_equal(knn_predictions(codes[:401], labels[:401], held_out), [0, 1])
    unanswered = np.append(labels[:-2], [-1, 1])
    np.testing.assert_array_equal(knn_predictions(codes[[*range(400), 400, 401]], unanswered, held_out[:1]), [0])
    noisy = np.concatenate([codes[:6], codes[:1]])  # of enough images in each class, five vote
    np.testing.assert_array_equal(knn_predictions(noisy, np.asarray([0, 0, 0, 0, 1, 1, 1]), held_out[:1]), [0])


PROBES = {
    "linear": linear_probe_accuracy,
    "perceptron": lambda *arrays: mlp_probe_accuracy(*arrays, seed=0, steps=40),
    "convolutional": convolutional_probe_accuracy,
    "neighbours": lambda c, y, d, z: knn_accuracy(c.reshape(len(c), -1), y, d.reshape(len(d), -1), z),
}


@pytest.mark.usefixtures("compiled_well")
@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_probes_read_all_of_separable_codes(probe):
    assert probe(*make_codes(True, 150, 0), *make_codes(True, 300, 1)) > 0.97


@pytest.mark.usefixtures("compiled_well")
@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_probes_are_at_chance_on_noise(probe):
    accuracy = probe(*make_codes(False, 150, 0), *make_codes(False, 900, 1))
    assert abs(accuracy - 1 / 3) < 0.08  # deviation 0.016


@pytest.mark.usefixtures("compiled_well")
def test_probes_are_not_misled_by_the_scale_of_a_channel():
    (codes, labels), (held_out, truth) = make_codes(True, 150, 0), make_codes(True, 300, 1)
    scale = np.asarray([1e3, 1.0, 1e-3], np.float32)
    for probe in (PROBES["linear"], PROBES["convolutional"]):
        assert probe(codes * scale + 7.0 * scale, labels, held_out * scale + 7.0 * scale, truth) > 0.97
