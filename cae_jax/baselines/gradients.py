"""Attribution by the gradient of a class's logit with respect to the image. Each image is explained for one class."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.baselines.inputs import (
    Array,
    Logits,
    WhiteBox,
    answer_shape,
    check_known,
    check_positive,
    class_numbers,
    colour_image,
)
from cae_jax.images import unit_images
from cae_jax.parallel.batching import map_batches


def gradient(classifier: WhiteBox, images: Array, classes: Array, *, batch_size: int = 64) -> np.ndarray:
    """The absolute gradient of the class's logit at each pixel, the maximum over channels.

    Simonyan et al. 2014, "Deep Inside Convolutional Networks", arXiv 1312.6034.

    Args:
        classifier: classifier to explain, with `logits`.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        classes: class that is explained for each image, integers `[N]`.
        batch_size: number of images in a compiled call.

    Returns:
        Maps `[N, height, width]` float32, >= 0.

    Raises:
        ValueError: for input of another shape or range, or classes that the classifier does not have.
    """
    return _maps(_gradient, classifier.logits, unit_images(images), classes, batch_size)


def input_times_gradient(classifier: WhiteBox, images: Array, classes: Array, *, batch_size: int = 64) -> np.ndarray:
    """The image times the gradient of the class's logit, summed over channels.

    Shrikumar et al. 2016, "Not Just a Black Box", arXiv 1605.01713. As pixels are in [0, 1], black ones get 0.

    Args:
        classifier: classifier to explain, with `logits`.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        classes: class that is explained for each image, integers `[N]`.
        batch_size: number of images in a compiled call.

    Returns:
        Maps `[N, height, width]` float32, positive where the image speaks for the class.

    Raises:
        ValueError: for input of another shape or range, or classes that the classifier does not have.
    """
    return _maps(_input_times_gradient, classifier.logits, unit_images(images), classes, batch_size)


def smooth_grad(
    classifier: WhiteBox,
    images: Array,
    classes: Array,
    *,
    seed: int,
    samples: int = 50,
    sigma: float = 0.15,
    batch_size: int = 64,
) -> np.ndarray:
    """SmoothGrad: the gradient averaged over noisy copies of the image, then its maximum absolute value over channels.

    Smilkov et al. 2017, "SmoothGrad", arXiv 1706.03825. As in the paper, noisy copies are not clipped to [0, 1]. All
    images get the same noise, scaled for each image, so that a map does not depend on the other images.

    Args:
        classifier: classifier to explain, with `logits`.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        classes: class that is explained for each image, integers `[N]`.
        seed: seed of the noise.
        samples: number of noisy copies.
        sigma: standard deviation of the noise, as a share of the image's range (its maximum minus its minimum).
        batch_size: number of images in a compiled call.

    Returns:
        Maps `[N, height, width]` float32, >= 0.

    Raises:
        ValueError: for input of another shape or range, or classes that the classifier does not have.
    """
    check_positive(samples=samples, sigma=sigma)
    options = {"key": jax.random.key(seed), "samples": samples, "sigma": sigma}
    return _maps(_smooth_grad, classifier.logits, unit_images(images), classes, batch_size, **options)


def integrated_gradients(
    classifier: WhiteBox,
    images: Array,
    classes: Array,
    *,
    baseline: Array | float = 0.0,
    steps: int = 64,
    batch_size: int = 64,
) -> np.ndarray:
    """Integrated gradients of the class's logit along the straight line from a baseline image, summed over channels.

    Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks", arXiv 1703.01365.

    Args:
        classifier: classifier to explain, with `logits`.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        classes: class that is explained for each image, integers `[N]`.
        baseline: an image `[height, width, channels]`, a colour `[channels]` or a grey value; black by default.
        steps: number of equal intervals of the line; the gradient is taken at the midpoint of each.
        batch_size: number of images in a compiled call.

    Returns:
        Signed maps `[N, height, width]` float32. A map's sum is the logit of the image minus that of the baseline, up
        to the error of the midpoint rule.

    Raises:
        ValueError: for input of another shape or range, or classes that the classifier does not have.
    """
    check_positive(steps=steps)
    unit = unit_images(images)
    start = colour_image(baseline, unit.shape[1:], "baseline")
    return _maps(_integrated_gradients, classifier.logits, unit, classes, batch_size, baseline=start, steps=steps)


def _maps(
    compiled: Callable, logits: Logits, images: np.ndarray, classes: Array, batch_size: int, **options: Any
) -> np.ndarray:
    check_positive(batch_size=batch_size)
    numbers = class_numbers(classes, len(images))
    check_known(numbers, answer_shape(logits, images))
    function = functools.partial(compiled, logits, **options)
    return map_batches(function, images, numbers, batch_size=min(batch_size, len(images)))


def _class_gradient(logits: Logits, images: jax.Array, classes: jax.Array) -> jax.Array:
    """The gradient of each image's class logit with respect to the image, `[batch, height, width, channels]`."""

    def score(x: jax.Array) -> jax.Array:
        return jnp.take_along_axis(logits(x), classes[:, None], axis=-1).sum()

    return jax.grad(score)(images)


@functools.partial(jax.jit, static_argnums=0)
def _gradient(logits: Logits, images: jax.Array, classes: jax.Array) -> jax.Array:
    return jnp.abs(_class_gradient(logits, images, classes)).max(-1)


@functools.partial(jax.jit, static_argnums=0)
def _input_times_gradient(logits: Logits, images: jax.Array, classes: jax.Array) -> jax.Array:
    return (images * _class_gradient(logits, images, classes)).sum(-1)


@functools.partial(jax.jit, static_argnums=0)
def _smooth_grad(
    logits: Logits, images: jax.Array, classes: jax.Array, *, key: jax.Array, samples: jax.Array, sigma: jax.Array
) -> jax.Array:
    strength = sigma * (images.max((1, 2, 3), keepdims=True) - images.min((1, 2, 3), keepdims=True))

    def add(k: jax.Array, total: jax.Array) -> jax.Array:
        noise = jax.random.normal(jax.random.fold_in(key, k), (1, *images.shape[1:]))
        return total + _class_gradient(logits, images + strength * noise, classes)

    total = jax.lax.fori_loop(0, samples, add, jnp.zeros_like(images))
    return jnp.abs(total / samples).max(-1)


@functools.partial(jax.jit, static_argnums=0)
def _integrated_gradients(
    logits: Logits, images: jax.Array, classes: jax.Array, *, baseline: jax.Array, steps: jax.Array
) -> jax.Array:
    change = images - baseline[None]

    def add(k: jax.Array, total: jax.Array) -> jax.Array:
        share = (k.astype(jnp.float32) + 0.5) / steps
        return total + _class_gradient(logits, baseline[None] + share * change, classes)

    total = jax.lax.fori_loop(0, steps, add, jnp.zeros_like(images))
    return (change * total / steps).sum(-1)
