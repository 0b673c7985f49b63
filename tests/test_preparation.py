"""What is done to images before a classifier sees them, and to its outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from cae_jax.classifiers import ClassifierError, Preparation, make_head

IMAGES = np.random.default_rng(0).random((3, 6, 8, 3), np.float32)
both = pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])


@both
def test_a_preparation_scales_normalises_and_moves_channels(xp):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    prepared = Preparation(range=(0.0, 2.0), mean=mean, std=std, layout="NCHW")(xp.asarray(IMAGES))
    assert isinstance(prepared, np.ndarray if xp is np else jax.Array)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared, ((IMAGES * 2 - mean) / std).transpose(0, 3, 1, 2), rtol=2e-5, atol=1e-5)


@both
def test_channels_are_made_turned_and_scaled(xp):
    images = xp.asarray(IMAGES)
    np.testing.assert_array_equal(Preparation(order="BGR")(images), IMAGES[..., ::-1])
    np.testing.assert_allclose(
        Preparation(channels=1)(images)[..., 0], IMAGES @ np.asarray([0.299, 0.587, 0.114]), rtol=1e-5
    )
    np.testing.assert_array_equal(Preparation(channels=3)(images[..., :1]), np.repeat(IMAGES[..., :1], 3, -1))
    expected = jax.image.resize(IMAGES, (3, 12, 4, 3), "linear")
    np.testing.assert_allclose(Preparation(size=(12, 4))(images), expected, atol=1e-6)


def test_a_preparation_is_differentiable():
    gradient = jax.grad(lambda x: Preparation(size=(3, 4), channels=1, layout="NCHW")(x).sum())(jnp.asarray(IMAGES))
    np.testing.assert_allclose(gradient.sum((1, 2)), np.tile([[0.299, 0.587, 0.114]], (3, 1)) * 12, rtol=1e-4)


def test_images_are_brought_to_a_size_that_is_first_asked_for_while_it_is_compiled():
    preparation = Preparation(size=(5, 7))
    compiled = jax.jit(preparation)(jnp.asarray(IMAGES))
    np.testing.assert_allclose(compiled, preparation(IMAGES), atol=1e-6)


@both
def test_heads_make_probabilities(xp):
    scores = np.random.default_rng(1).normal(0, 30, (5, 4)).astype(np.float32)
    given = xp.asarray(scores)
    np.testing.assert_allclose(make_head("softmax")(given), scipy.special.softmax(scores, -1), rtol=1e-4, atol=1e-7)
    present = scipy.special.expit(scores.astype(np.float64))
    np.testing.assert_allclose(
        make_head("sigmoid", 2)(given), np.stack([1 - present[:, 2], present[:, 2]], -1), atol=1e-6
    )
    for shape in ((5,), (5, 1)):
        answers = make_head("logit")(given[:, 0].reshape(shape))
        np.testing.assert_allclose(answers, np.stack([1 - present[:, 0], present[:, 0]], -1), atol=1e-6)
    np.testing.assert_array_equal(make_head("probabilities")(given), scores)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 2}, "input.channels must be 1, 3"),
        ({"order": "RBG"}, "input.order must be 'RGB' or 'BGR'"),
        ({"layout": "HWC"}, "input.layout must be 'NHWC' or 'NCHW'"),
        ({"channels": 3, "mean": (0.1, 0.2)}, "input.mean must be one number or one for each channel"),
        ({"std": (0.0,)}, "input.std must be above 0"),
        ({"range": (1.0, 0.0)}, "input.range ascend"),
    ],
)
def test_a_preparation_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Preparation(**settings)


def test_outputs_that_do_not_go_with_the_head_are_refused():
    with pytest.raises(ValueError, match="head must be one of softmax"):
        make_head("tanh")
    with pytest.raises(ClassifierError, match=r"one score for each image, not \(5, 2\)"):
        make_head("logit")(np.ones((5, 2)))
    with pytest.raises(ClassifierError, match=r"must be \[images, scores\], not \(5,\)"):
        make_head("softmax")(np.ones(5))
    with pytest.raises(ClassifierError, match="finding 7 does not exist; the classifier has 0 to 1"):
        make_head("sigmoid", 7)(np.ones((5, 2)))
