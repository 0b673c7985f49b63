"""What leaks into individual codes, and how much memory it takes to find out."""

import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cae_jax.data import ArraySource
from cae_jax.metrics import individual_code_leakage, leakage
from cae_jax.metrics.probes import fit_convolutional_probe, fit_linear_probe
from cae_jax.parallel import batching


def source_of(classes, seed):
    """Images of noise, a corner of which is the class."""
    images = np.random.default_rng(seed).integers(0, 256, (len(classes), 4, 4, 1)).astype(np.uint8)
    images[:, 0, 0, 0] = classes
    return ArraySource(images, classes)


def classes_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 3, count).astype(np.int32)


def telling(images):
    """Codes in which a channel is the class."""
    codes = images.astype(np.float32).repeat(2, axis=-1) / 255
    codes[..., 1] = images[:, :1, :1, 0]
    return codes


def silent(images):
    codes = images.astype(np.float32) / 255
    codes[:, 0, 0] = 0.5
    return codes


def leakage_of(encode, train, test, seed=0):
    return individual_code_leakage(encode, source_of(train, 1), train, source_of(test, 2), test, seed)


@pytest.mark.usefixtures("whole_probe")
def test_leakage_is_the_better_of_two_probes_against_what_is_right_by_chance():
    train, test = classes_of(300), classes_of(200, 1)
    found = leakage_of(telling, train, test)
    assert found["individual_code_leakage"] > 0.99
    hidden = leakage_of(silent, train, test)
    chance = np.bincount(test).max() / 200
    assert hidden["individual_code_leakage_chance"] == chance
    assert hidden["individual_code_leakage"] < chance + 0.12  # deviation 0.035
    for names in (found, hidden):
        assert names["individual_code_leakage"] == max(
            names["individual_code_leakage_linear"], names["individual_code_leakage_convolutional"]
        )
        assert names["individual_code_leakage_images"] == 300


@pytest.fixture
def whole_probe(monkeypatch):
    """The probe of `conftest.py` takes ten steps."""
    monkeypatch.setattr(
        leakage.probes,
        "fit_convolutional_probe",
        lambda *rows, seed: fit_convolutional_probe(*rows, seed=seed, steps=80),
    )


def test_codes_that_do_not_fit_are_sampled_by_seed(monkeypatch):
    code = np.zeros((2, 2, 4), np.float32)  # 64 bytes
    monkeypatch.setattr(leakage, "SAMPLE_BYTES", 640)
    monkeypatch.setattr(leakage, "FITTING", 0)
    sample = leakage.probe_rows(100, code, 3, 0)
    assert len(set(sample)) == 10
    assert (sample == np.sort(sample)).all()
    np.testing.assert_array_equal(sample, leakage.probe_rows(100, code, 3, 0))
    assert (sample != leakage.probe_rows(100, code, 3, 1)).any()
    np.testing.assert_array_equal(leakage.probe_rows(10, code, 3, 0), np.arange(10))


def test_many_classes_make_the_sample_smaller_where_their_weights_would_not_fit():
    code = np.zeros((64, 64, 8), np.float32)
    few, many = (len(leakage.probe_rows(100_000, code, classes, 0)) for classes in (10, 10_000))
    assert few * code.nbytes <= leakage.SAMPLE_BYTES
    assert many * 10_000 * leakage.FITTING <= leakage.SAMPLE_BYTES
    assert many < few


def test_a_sample_of_one_class_knows_nothing_but_that_class():
    found = leakage_of(telling, np.ones(30, np.int32), np.asarray([1, 1, 1, 0], np.int32))
    assert found["individual_code_leakage_linear"] == 0.75 == found["individual_code_leakage_chance"]


@pytest.mark.parametrize("classes", [2, 4])
def test_a_linear_probe_of_few_long_codes_is_the_same_regression(classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 40)
    codes = rng.normal(size=(40, 5, 5, 8)).astype(np.float32)
    codes[..., 3] = 1.5  # does not vary
    codes[:, 0, 0, :classes] += 2.0 * np.eye(classes)[labels]
    held_out = rng.normal(size=(300, 5, 5, 8)).astype(np.float32)
    scaler = StandardScaler().fit(codes.reshape(40, -1))
    plain = LogisticRegression(C=0.1, max_iter=1000).fit(scaler.transform(codes.reshape(40, -1)), labels)
    expected = plain.predict(scaler.transform(held_out.reshape(300, -1)))
    assert len(set(expected)) == classes
    assert (fit_linear_probe(codes, labels)(held_out) == expected).mean() > 0.99


def test_the_codes_of_a_call_are_all_that_is_held_besides_the_sample(monkeypatch):
    each = 64 * 64 * 16 * 4
    monkeypatch.setattr(batching, "MOST_ROWS", 4)
    monkeypatch.setattr(leakage, "SAMPLE_BYTES", 16 * each)
    monkeypatch.setattr(leakage.probes, "fit_convolutional_probe", lambda *_, seed: lambda codes: np.zeros(len(codes)))

    def encode(images):
        return np.broadcast_to(images[:, :1, :1].astype(np.float32), (len(images), 64, 64, 16)).copy()

    train, test = classes_of(200), classes_of(400)
    tracemalloc.start()
    leakage_of(encode, train, test)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * each + 32 * each  # of 600 images
