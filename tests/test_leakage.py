"""What leaks into individual codes, and how much memory it takes to find out."""

import functools
import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cae_jax.data import ArraySource
from cae_jax.metrics import individual_code_leakage, leakage
from cae_jax.metrics.probes import (
    fit_convolutional_probe,
    fit_linear_probe,
    fit_mlp_probe,
    fit_standard,
    fit_svm_probe,
)
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
def test_leakage_is_the_strongest_of_four_probes_against_what_is_right_by_chance():
    train, test = classes_of(300), classes_of(200, 1)
    found = leakage_of(telling, train, test)
    assert found["individual_code_leakage"] > 0.99
    hidden = leakage_of(silent, train, test)
    chance = np.bincount(test).max() / 200
    assert hidden["individual_code_leakage_chance"] == chance
    assert hidden["individual_code_leakage"] < chance + 0.12  # deviation 0.035
    for names in (found, hidden):
        probes = [names[f"individual_code_leakage_{probe}"] for probe in ("linear", "mlp", "convolutional", "svm")]
        assert names["individual_code_leakage"] == max(probes)
        assert names["individual_code_leakage_images"] == names["individual_code_leakage_svm_images"] == 300


@pytest.mark.usefixtures("whole_probe")
def test_each_of_the_probes_is_asked_about_every_held_out_image(monkeypatch):
    train, test = classes_of(300), classes_of(200, 1)
    answers = {"linear": 0, "mlp": 1, "convolutional": 2, "svm": 3}  # a class that there is not is never right
    for name, answer in answers.items():
        monkeypatch.setattr(
            leakage.probes,
            f"fit_{name}_probe",
            lambda *_, answer=answer, **__: lambda codes: np.full(len(codes), answer),
        )
    found = leakage_of(telling, train, test)
    for name, answer in answers.items():
        assert found[f"individual_code_leakage_{name}"] == np.mean(test == answer)


@pytest.mark.usefixtures("whole_probe")
def test_the_support_vector_machine_is_fitted_to_a_sample_of_bounded_size_that_is_said(monkeypatch):
    sizes = []

    def fit(rows, labels):
        sizes.append((len(rows), len(labels)))
        return fit_svm_probe(rows, labels)

    monkeypatch.setattr(leakage, "SVM_CODES", 120)
    monkeypatch.setattr(leakage.probes, "fit_svm_probe", fit)
    found = leakage_of(telling, classes_of(300), classes_of(200, 1))
    assert sizes == [(120, 120)]
    assert found["individual_code_leakage_svm_images"] == 120
    assert found["individual_code_leakage_images"] == 300
    assert found["individual_code_leakage_svm"] > 0.95


@pytest.fixture
def whole_probe(monkeypatch):
    """The probes that are networks take 80 steps."""
    for fit in (fit_convolutional_probe, fit_mlp_probe):
        monkeypatch.setattr(leakage.probes, fit.__name__, functools.partial(fit, steps=80))


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


@pytest.mark.usefixtures("whole_probe")
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
    rows, standard = fit_standard(codes)
    assert rows.shape[1] <= 40
    assert (fit_linear_probe(rows, labels)(standard(held_out)) == expected).mean() > 0.99


def test_rows_of_few_long_codes_are_as_far_apart_as_the_standardised_codes():
    codes = np.random.default_rng(0).normal(3.0, 2.0, size=(20, 4, 4, 8)).astype(np.float32)
    rows, standard = fit_standard(codes)
    plain = StandardScaler().fit_transform(codes.reshape(20, -1))
    apart = lambda rows: np.linalg.norm(rows[:, None] - rows, axis=-1)  # noqa: E731
    np.testing.assert_allclose(apart(rows), apart(plain), atol=1e-3)
    np.testing.assert_allclose(standard(codes), rows, atol=1e-3)


@pytest.mark.parametrize("size", [2, 5])
def test_codes_that_are_all_the_same_tell_every_probe_the_most_frequent_class(size):
    codes = np.full((30, size, size, 8), 0.1, np.float32)
    labels = np.repeat([0, 1, 1], 10)
    rows, standard = fit_standard(codes)
    fitted = fit_linear_probe(rows, labels), fit_svm_probe(rows, labels), fit_mlp_probe(rows, labels, seed=0, steps=60)
    for probe in fitted:
        np.testing.assert_array_equal(probe(standard(codes[:3])), 1)


def test_a_perceptron_and_a_support_vector_machine_read_what_a_linear_probe_cannot():
    def draw(count, seed):
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (count, 2))
        codes = np.random.default_rng(seed + 1).normal(size=(count, 2, 2, 2)).astype(np.float32) * 0.3
        codes[:, 0, 0] += signs
        return codes, (signs.prod(-1) > 0).astype(np.int32)

    (codes, labels), (held_out, truth) = draw(300, 0), draw(300, 2)
    rows, standard = fit_standard(codes)
    right = lambda probe: (probe(standard(held_out)) == truth).mean()  # noqa: E731
    assert right(fit_linear_probe(rows, labels)) < 0.65
    assert right(fit_svm_probe(rows, labels)) > 0.9
    assert right(fit_mlp_probe(rows, labels, seed=0, steps=100)) > 0.9


def test_the_codes_of_a_call_are_all_that_is_held_besides_the_sample(monkeypatch):
    each = 64 * 64 * 16 * 4
    monkeypatch.setattr(batching, "MOST_ROWS", 4)
    monkeypatch.setattr(leakage, "SAMPLE_BYTES", 16 * each)
    for probe in ("convolutional", "mlp"):
        monkeypatch.setattr(leakage.probes, f"fit_{probe}_probe", lambda *_, seed: lambda codes: np.zeros(len(codes)))

    def encode(images):
        return np.broadcast_to(images[:, :1, :1].astype(np.float32), (len(images), 64, 64, 16)).copy()

    train, test = classes_of(200), classes_of(400)
    tracemalloc.start()
    leakage_of(encode, train, test)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * each + 32 * each  # of 600 images
