"""Reads and offsets a layer inside a network, by its name, without a change to the network's code."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from cae_jax.types import Tap


def make_tap(network: nn.Module, params: Any, layer: str) -> Tap:
    """Makes a function that adds an offset to a layer's output and returns that output beside the scores.

    The gradient of the scores by the offset, at 0, is the one by the layer's output.

    Args:
        network: module from images in [0, 1] to scores `[batch, K]`.
        params: the network's parameters.
        layer: the name of a submodule whose output is an array; of one inside another, the path, as in "block_1/conv".

    Returns:
        `(images, offset) -> (scores, the layer's output plus the offset)`. The offset is a number or has the output's
        shape. It raises ValueError, with the names of the layers, if the network does not call this one exactly once.
    """

    def tap(images: jax.Array, offset: jax.Array | float) -> tuple[jax.Array, jax.Array]:
        names: list[str] = []
        found: list[jax.Array] = []

        def add_offset(name: str, output: Any) -> Any:
            names.append(name)
            if name == layer:
                output = output + offset
                found.append(output)
            return output

        scores = _apply(network, params, images, add_offset)
        if len(found) != 1:
            raise ValueError(f"layer must be called once, but {layer!r} is {len(found)} times; there are {names}")
        return scores, found[0]

    return tap


def spatial_means(tap: Tap) -> Callable[[jax.Array], jax.Array]:
    """Makes a compiled function from images to `[batch, features]`: the means of a tapped layer over all places.

    Args:
        tap: what `make_tap` makes, of a layer that returns feature maps.
    """
    return jax.jit(lambda images: tap(images, 0.0)[1].mean((1, 2)))


def last_convolution(network: nn.Module, params: Any, image_shape: Sequence[int]) -> str:
    """The name, as `make_tap` takes it, of the last layer that returns feature maps `[batch, h, w, features]`.

    Args:
        network: module from images in [0, 1] to scores `[batch, K]`.
        params: the network's parameters.
        image_shape: height, width and channels of the images.

    Raises:
        ValueError: if no layer returns feature maps.
    """
    names: list[str] = []

    def note(name: str, output: Any) -> Any:
        if getattr(output, "ndim", None) == 4:
            names.append(name)
        return output

    jax.eval_shape(lambda x: _apply(network, params, x, note), jnp.zeros((1, *image_shape)))
    if not names:
        raise ValueError(f"no layer of {type(network).__name__} returns feature maps [batch, h, w, features]")
    return names[-1]


def _apply(network: nn.Module, params: Any, images: jax.Array, change: Callable[[str, Any], Any]) -> jax.Array:
    """Applies a network, and `change` to the output of each submodule, by its path, as it is called."""

    def intercept(next_function: Any, arguments: Any, options: Any, context: nn.module.InterceptorContext) -> Any:
        output = next_function(*arguments, **options)
        name = "/".join(context.module.path)
        return change(name, output) if name and context.method_name == "__call__" else output

    with nn.intercept_methods(intercept):
        return cast(jax.Array, network.apply({"params": params}, images))
