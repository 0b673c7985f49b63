"""Attribution by class activation maps: a layer's channels, weighted by how much they contribute to the class's score.

Both methods read a layer of the classifier through its `tap`; their maps have the spatial resolution of that layer.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.baselines.inputs import Array, WhiteBox, check_known, check_positive, class_numbers
from cae_jax.images import unit_images
from cae_jax.parallel.batching import map_batches
from cae_jax.types import Tap


def grad_cam(classifier: WhiteBox, images: Array, classes: Array, *, batch_size: int = 64) -> np.ndarray:
    """Grad-CAM: the layer's channels, weighted by the mean gradient of the class's score, summed and rectified.

    Selvaraju et al. 2017, "Grad-CAM", arXiv 1610.02391.

    Args:
        classifier: classifier to explain, with `tap`.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        classes: class that is explained for each image, integers `[N]`.
        batch_size: number of images in a compiled call.

    Returns:
        Maps `[N, height, width]` float32, >= 0, bilinearly upsampled from the layer. A map is all 0 where nothing
        speaks for the class.

    Raises:
        ValueError: for input of another shape or range, classes that the classifier does not have, or a tapped output
            that is not a feature map.
    """
    return _maps(_grad_cam, classifier.tap, images, classes, batch_size)


def grad_cam_plus_plus(classifier: WhiteBox, images: Array, classes: Array, *, batch_size: int = 64) -> np.ndarray:
    """Grad-CAM++: like Grad-CAM, but a channel's weight only counts the places where its gradient is positive.

    Chattopadhyay et al. 2018, "Grad-CAM++", arXiv 1710.11063, in its closed form for the exponential of the score. The
    factor exp(score), the same for a whole map, is left out. The paper assumes a rectified layer; for any other, the
    sum of activations in the weights is taken over the positive ones only, which keeps the weights between 0 and 1/2.

    Args:
        classifier: classifier to explain, with `tap`.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        classes: class that is explained for each image, integers `[N]`.
        batch_size: number of images in a compiled call.

    Returns:
        Maps `[N, height, width]` float32, >= 0, bilinearly upsampled from the layer. A map is all 0 where nothing
        speaks for the class.

    Raises:
        ValueError: for input of another shape or range, classes that the classifier does not have, or a tapped output
            that is not a feature map.
    """
    return _maps(_grad_cam_plus_plus, classifier.tap, images, classes, batch_size)


def _maps(compiled: Callable, tap: Tap, images: Array, classes: Array, batch_size: int) -> np.ndarray:
    check_positive(batch_size=batch_size)
    unit = unit_images(images)
    numbers = class_numbers(classes, len(unit))
    one = jax.ShapeDtypeStruct((1, *unit.shape[1:]), jnp.float32)
    scores, activation = jax.eval_shape(tap, one, jnp.zeros(()))
    check_known(numbers, scores.shape)
    if activation.ndim != 4:
        raise ValueError(f"tap must read a feature map [batch, h, w, features]; the layer's is {activation.shape}")
    return map_batches(functools.partial(compiled, tap), unit, numbers, batch_size=min(batch_size, len(unit)))


def _activation_and_gradient(tap: Tap, images: jax.Array, classes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A layer's output `[batch, h, w, features]`, and the gradient of each image's class score with respect to it."""
    shape = jax.eval_shape(tap, images, jnp.zeros(()))[1]

    def score(offset: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, activation = tap(images, offset)
        return jnp.take_along_axis(logits, classes[:, None], axis=-1).sum(), activation

    slope, activation = jax.grad(score, has_aux=True)(jnp.zeros(shape.shape, shape.dtype))
    return activation, slope


def _weighted(activation: jax.Array, weights: jax.Array, images: jax.Array) -> jax.Array:
    """Sums channels `[batch, h, w, features]` with weights `[batch, features]`, rectifies, resizes to the images."""
    maps = jax.nn.relu((activation * weights[:, None, None]).sum(-1))
    return jax.image.resize(maps, images.shape[:3], "bilinear").astype(jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def _grad_cam(tap: Tap, images: jax.Array, classes: jax.Array) -> jax.Array:
    activation, slope = _activation_and_gradient(tap, images, classes)
    return _weighted(activation, slope.mean((1, 2)), images)


@functools.partial(jax.jit, static_argnums=0)
def _grad_cam_plus_plus(tap: Tap, images: jax.Array, classes: jax.Array) -> jax.Array:
    activation, slope = _activation_and_gradient(tap, images, classes)
    helps = jax.nn.relu(slope)
    # g² / (2 g² + sum(A) g³), with g > 0 cancelled; where g <= 0 the place has no weight
    share = 1.0 / (2.0 + jax.nn.relu(activation).sum((1, 2), keepdims=True) * helps)
    return _weighted(activation, (share * helps).sum((1, 2)), images)
