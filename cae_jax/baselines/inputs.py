"""What all methods are given: a classifier, images, a class for each, a colour. Bad input is named and refused."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.types import Predict

Array = np.ndarray | jax.Array

Logits = Callable[[jax.Array], jax.Array]
"""A classifier's scores before the softmax: `[batch, height, width, channels]` in [0, 1] to `[batch, K]`.

Rows must not influence each other, and JAX must be able to trace it.
"""

Tap = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""Images and an offset to scores before the softmax `[batch, K]` and a layer's output `[batch, h, w, features]`.

The offset, a number or of the output's shape, is added to that output before the classifier goes on, so that the
gradient by the offset at 0 is the one by the output.
"""


def _hidden(view: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise ValueError(f"the classifier does not show its {view}, which this method needs")

    return refuse


class WhiteBox(NamedTuple):
    """A classifier as methods look at it. What it does not show raises ValueError when a method asks for it.

    Attributes:
        predict: images in [0, 1] to probabilities. Methods that need no gradients call it with numpy arrays of one
            shape, so it may be any function of arrays; compile it (`jax.jit`) where JAX can trace it.
        logits: see `Logits`.
        tap: see `Tap`; `cae_jax.classifiers.make_tap` makes one.
        redrawn: a seed to the same network with parameters that were drawn again, see `randomise`.
    """

    predict: Predict = _hidden("probabilities")
    logits: Logits = _hidden("scores before the softmax")
    tap: Tap = _hidden("layers")
    redrawn: Callable[[int], "WhiteBox"] = _hidden("parameters")


def class_numbers(classes: Array, count: int, name: str = "classes") -> np.ndarray:
    """Classes as int32 `[count]`.

    Raises:
        ValueError: if there are more or fewer, or they are not whole numbers.
    """
    numbers = np.asarray(classes)
    if numbers.shape != (count,) or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(
            f"{name} must be {count} whole numbers, one for each image, not {numbers.dtype} of shape {numbers.shape}"
        )
    return numbers.astype(np.int32)


def check_known(classes: np.ndarray, answer_shape: tuple[int, ...], name: str = "classes") -> None:
    """Checks that the classifier has these classes.

    Args:
        classes: whole numbers.
        answer_shape: of what the classifier returned.
        name: of `classes`, for errors.

    Raises:
        ValueError: if it has not, or its answers are not `[batch, K]`.
    """
    if len(answer_shape) != 2:
        raise ValueError(f"the classifier must return [batch, K]; it returned shape {answer_shape}")
    if classes.min() < 0 or classes.max() >= answer_shape[1]:
        raise ValueError(
            f"{name} must be from 0 to {answer_shape[1] - 1}, the classifier's; "
            f"they go from {classes.min()} to {classes.max()}"
        )


def answer_shape(logits: Logits, images: np.ndarray) -> tuple[int, ...]:
    """The shape of a traceable classifier's answer for one image, without computing it."""
    return jax.eval_shape(logits, jax.ShapeDtypeStruct((1, *images.shape[1:]), jnp.float32)).shape


def colour_image(colour: Array | float, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Spreads a grey value, a colour `[channels]` or an image over `shape`, `[height, width, channels]`, float32.

    Raises:
        ValueError: if it does not fit or is not finite.
    """
    try:
        image = np.broadcast_to(np.asarray(colour, np.float32), shape)
    except ValueError:
        raise ValueError(
            f"{name} must be a number, a colour [channels] or an image {list(shape)}, not of shape {np.shape(colour)}"
        ) from None
    if not np.isfinite(image).all():
        raise ValueError(f"{name} must be finite")
    return image


def check_confidence(confidence: float) -> None:
    """Checks that a probability asked for can be reached.

    Raises:
        ValueError: outside (0, 1].
    """
    if not 0.0 < confidence <= 1.0:
        raise ValueError(f"confidence must lie in (0, 1], not {confidence}")


def check_positive(**values: float) -> None:
    """Checks arguments, by name, that must be above 0.

    Raises:
        ValueError: naming the first that is not.
    """
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, not {value}")
