"""The figures of the benchmarks of where to stop and of random ways, by hand on known answers."""

import dataclasses

import numpy as np
import pytest

from benchmarks import ways
from benchmarks.stopping import row_of
from cae_jax import metrics
from cae_jax.types import Ending, Explanation


def test_judges_are_asked_about_what_was_reached_and_rates_are_of_all():
    count, size = 5, (2, 2, 1)
    path = np.full((count, 2, *size), 0.25, np.float32)
    found = Explanation(
        image_index=np.arange(count),
        prediction=np.zeros(count, int),
        target=np.ones(count, int),
        status=np.asarray([Ending.FLIPPED] * 3 + [Ending.WEAK, Ending.NOT_RECONSTRUCTED]),
        flip_shift=np.asarray([0.2, 0.3, 0.4, 0.5, np.nan]),
        shift=np.asarray([0.3, 0.4, 0.6, np.nan, np.nan]),
        typicality=np.asarray([0.1, 0.2, 0.4, 0.05, 1.0]),
        individual_bits=np.full(count, np.nan),
        reference=np.zeros(count, int),
        counterfactual=np.full((count, *size), [[[[0.5]]], [[[0.75]]], [[[1.0]]], [[[1.0]]], [[[1.0]]]], np.float32),
        counterfactual_code=np.zeros((count, 2)),
        counterfactual_probabilities=np.zeros((count, 2)),
        saliency=np.zeros((count, 2, 2)),
        path_shifts=np.asarray([0.0, 1.0]),
        path_images=path,
        path_probabilities=np.zeros((count, 2, 2)),
        answer=np.zeros(count, int),
        tried=np.ones(count, int),
        confident=np.ones(count, int),
    )
    strict = lambda images: (images[:, 0, 0, 0] > 0.9).astype(int)  # noqa: E731
    row = row_of(found, {"strict": strict})
    assert row["of all"] == 0.6
    assert row["of the reconstructed"] == 0.75
    assert row["strict"] == pytest.approx(1 / 3)
    assert row["L1"] == pytest.approx(0.5)
    assert (row["shift"], row["typicality"]) == (0.4, 0.2)
    unmoved = dataclasses.replace(found, status=np.full(count, Ending.NOT_FLIPPED))
    none = row_of(unmoved, {"strict": strict})
    assert list(none) == list(row)
    assert none["of all"] == none["of the reconstructed"] == 0.0
    assert all(np.isnan(value) for name, value in none.items() if not name.startswith("of"))


def test_a_row_of_ways_has_each_judge_s_agreement_and_the_distance_of_features():
    rng = np.random.default_rng(0)
    images, real = rng.random((4, 2, 2, 1), dtype=np.float32), rng.normal(size=(6, 4))
    judges = {"always 1": lambda images: np.ones(len(images), int)}
    flat = lambda images: images.reshape(len(images), -1)  # noqa: E731
    row = ways.row_of(images, np.asarray([1, 0, 1, 1]), judges, flat, real)
    assert row == {"always 1": 0.75, "KID": metrics.kid(flat(images), real)}
