"""Layers read and offset by name inside networks."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.baselines import WhiteBox, grad_cam
from cae_jax.classifiers import (
    ResidualClassifier,
    SmallCNN,
    last_convolution,
    make_logits,
    make_predict,
    make_tap,
)

SHAPE = (16, 16, 1)
IMAGES = jnp.asarray(np.random.default_rng(0).uniform(size=(3, *SHAPE)), jnp.float32)


def initialised(network):
    """Random parameters, without compiling the network."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(network.init, jax.random.key(0), IMAGES[:1])["params"]
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape, scale=0.3), jnp.float32), shapes)


SMALL = SmallCNN(num_classes=3, width=2)
SMALL_PARAMS = initialised(SMALL)


class Nested(nn.Module):
    """Blocks in blocks; the last feature map is a block's; the first dense layer is called twice."""

    @nn.compact
    def __call__(self, images):  # noqa: D102
        h = SmallBlock(name="first")(images)
        h = SmallBlock(name="second")(h)
        again = nn.Dense(4, name="again")
        return nn.Dense(2, name="out")(again(again(h.mean((1, 2)))))


class SmallBlock(nn.Module):
    """A convolution and what follows it."""

    @nn.compact
    def __call__(self, h):  # noqa: D102
        return nn.relu(nn.Conv(4, (3, 3), name="conv")(h))


def head(activation):
    """What SmallCNN does after its last convolution, written out."""
    h = jax.nn.relu(activation).reshape(len(activation), -1)
    h = jax.nn.relu(h @ SMALL_PARAMS["hidden"]["kernel"] + SMALL_PARAMS["hidden"]["bias"])
    return h @ SMALL_PARAMS["logits"]["kernel"] + SMALL_PARAMS["logits"]["bias"]


def test_scores_are_the_networks_and_probabilities_theirs():
    logits = make_logits(SMALL, SMALL_PARAMS)(IMAGES)
    np.testing.assert_allclose(logits, SMALL.apply({"params": SMALL_PARAMS}, IMAGES), atol=1e-6)
    np.testing.assert_allclose(make_predict(SMALL, SMALL_PARAMS)(IMAGES), jax.nn.softmax(logits), atol=1e-6)


def test_a_tap_at_zero_changes_nothing_and_reads_the_layer():
    scores, activation = make_tap(SMALL, SMALL_PARAMS, "conv_2")(IMAGES, 0.0)
    np.testing.assert_allclose(scores, make_logits(SMALL, SMALL_PARAMS)(IMAGES), atol=1e-6)
    assert activation.shape == (3, 2, 2, 8)
    np.testing.assert_allclose(head(activation), scores, atol=1e-5)


def test_the_gradient_by_the_offset_is_the_one_by_the_activation():
    tap = make_tap(SMALL, SMALL_PARAMS, "conv_2")
    _, activation = tap(IMAGES, 0.0)
    found = jax.grad(lambda offset: tap(IMAGES, offset)[0][:, 1].sum())(jnp.zeros_like(activation))
    expected = jax.grad(lambda a: head(a)[:, 1].sum())(activation)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-3


def test_the_offset_is_added():
    offset = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2, 2, 8)), jnp.float32)
    tap = make_tap(SMALL, SMALL_PARAMS, "conv_2")
    scores, activation = tap(IMAGES, offset)
    np.testing.assert_allclose(activation, tap(IMAGES, 0.0)[1] + offset, atol=1e-6)
    np.testing.assert_allclose(scores, head(activation), atol=1e-5)


@pytest.mark.parametrize(
    ("network", "layer", "shape"),
    [
        (SMALL, "conv_2", (3, 2, 2, 8)),
        (ResidualClassifier(num_classes=3, width=8), "norm_out", (3, 2, 2, 32)),
        (Nested(), "second", (3, 16, 16, 4)),
    ],
    ids=["small_cnn", "residual", "nested"],
)
def test_the_last_convolution_is_found_and_can_be_tapped(network, layer, shape):
    params = initialised(network)
    assert last_convolution(network, params, SHAPE) == layer
    scores, activation = jax.eval_shape(make_tap(network, params, layer), IMAGES, jnp.zeros(()))
    assert scores.shape[0] == 3
    assert activation.shape == shape


def test_grad_cam_explains_by_a_tapped_layer():
    tap = make_tap(SMALL, SMALL_PARAMS, "conv_2")
    activation = tap(IMAGES, 0.0)[1]
    weights = jax.grad(lambda a: head(a)[:, 1].sum())(activation).mean((1, 2))
    coarse = np.maximum((activation * weights[:, None, None]).sum(-1), 0.0)
    maps = grad_cam(WhiteBox(tap=tap), IMAGES, np.ones(3, int))
    np.testing.assert_allclose(maps[:, ::15, ::15], coarse, atol=1e-5)  # the four corners
    assert maps.max() > 1e-3


def test_a_layer_inside_another_is_named_by_its_path():
    network = Nested()
    params = initialised(network)
    outer = make_tap(network, params, "second")(IMAGES, 0.0)[1]
    inner = make_tap(network, params, "second/conv")(IMAGES, 0.0)[1]
    assert inner.min() < 0.0
    np.testing.assert_allclose(jax.nn.relu(inner), outer, atol=1e-6)


@pytest.mark.parametrize(("layer", "times"), [("third", 0), ("again", 2)])
def test_a_layer_that_is_not_called_once_is_refused_with_the_names_there_are(layer, times):
    network = Nested()
    with pytest.raises(ValueError, match=rf"{layer}' is {times} times; there are .*'second/conv'"):
        make_tap(network, initialised(network), layer)(IMAGES, 0.0)


def test_a_network_without_feature_maps_has_no_last_convolution():
    network = nn.Dense(2)
    with pytest.raises(ValueError, match="no layer of Dense returns feature maps"):
        last_convolution(network, network.init(jax.random.key(0), jnp.zeros((1, 4)))["params"], (2, 2, 4))
