"""Partition SHAP, through its library, where that is installed."""

import sys

import numpy as np
import pytest

from cae_jax import baselines
from cae_jax.baselines import WhiteBox

SHAPE = (4, 3, 2)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, *SHAPE)).astype(np.float32)
CLASSES = np.asarray([1, 0, 1])
WEIGHTS = RNG.uniform(size=SHAPE).astype(np.float32) / 24


def linear_answer(images):
    share = (np.asarray(images) * WEIGHTS).sum((1, 2, 3))
    return np.stack([1.0 - share, share], -1)


@pytest.fixture
def shap():
    return pytest.importorskip("shap", reason="partition SHAP needs pip install 'cae_jax[benchmark]'")


@pytest.mark.usefixtures("shap")
def test_of_a_linear_answer_a_pixel_has_what_it_adds_to_the_fill():
    fill = np.asarray([0.5, 0.25], np.float32)
    maps = baselines.partition_shap(WhiteBox(linear_answer), IMAGES, CLASSES, fill=fill)
    sign = np.where(CLASSES == 1, 1.0, -1.0)[:, None, None]
    np.testing.assert_allclose(maps, sign * ((IMAGES - fill) * WEIGHTS).sum(-1), atol=1e-6)
    assert maps.dtype == np.float32


@pytest.mark.usefixtures("shap")
def test_with_few_evaluations_the_sum_is_still_the_gain_and_ties_fall_the_same_way():
    np.random.seed(7)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    maps = baselines.partition_shap(WhiteBox(linear_answer), IMAGES, CLASSES, evaluations=9, batch_size=2)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    gains = (linear_answer(IMAGES) - linear_answer(0 * IMAGES))[np.arange(3), CLASSES]
    np.testing.assert_allclose(maps.sum((1, 2)), gains, atol=1e-6)
    np.random.seed(8)  # noqa: NPY002
    again = baselines.partition_shap(WhiteBox(linear_answer), IMAGES, CLASSES, evaluations=9, batch_size=2)
    np.testing.assert_array_equal(again, maps)


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ImportError, match=r"pip install 'cae_jax\[benchmark\]'"):
        baselines.partition_shap(WhiteBox(linear_answer), IMAGES, CLASSES)
