"""The inputs of all methods (a classifier, images, a class for each, a colour), and their checks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.types import Predict, Tap

Array = np.ndarray | jax.Array

Logits = Callable[[jax.Array], jax.Array]
"""Takes images `[batch, height, width, channels]` in [0, 1]; returns a classifier's scores before its softmax, `[batch,
K]`.

Rows must not influence each other, and JAX must be able to trace it.
"""


def _hidden(view: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise ValueError(f"the classifier does not show its {view}, which this method needs")

    return refuse


class WhiteBox(NamedTuple):
    """A classifier as methods see it; a function that is not given raises ValueError when a method calls it.

    Attributes:
        predict: function from images in [0, 1] to probabilities. Methods that need no gradients call it with numpy
            arrays of one shape, so it may be any function of arrays; compile it (`jax.jit`) if JAX can trace it.
        logits: function from images to scores before the softmax, see `Logits`.
        tap: function that also returns a layer's output, see `Tap`; `cae_jax.classifiers.make_tap` makes one.
        redrawn: function from a seed to the same network with randomised parameters, see `randomise`.
    """

    predict: Predict = _hidden("probabilities")
    logits: Logits = _hidden("scores before the softmax")
    tap: Tap = _hidden("layers")
    redrawn: Callable[[int], "WhiteBox"] = _hidden("parameters")


def class_numbers(classes: Array, count: int, name: str = "classes") -> np.ndarray:
    """Returns class numbers as int32 `[count]`; `name` is the argument's name in error messages.

    Raises:
        ValueError: if there are more or fewer than `count`, or they are not integers.
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
        classes: class numbers.
        answer_shape: shape of the classifier's answers.
        name: name of the argument `classes` in error messages.

    Raises:
        ValueError: if a class does not exist, or the answers are not `[batch, K]`.
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
    """Broadcasts a grey value, a colour `[channels]` or an image to `shape`, `[height, width, channels]`, as float32.

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
    """Checks that a required probability lies in (0, 1].

    Raises:
        ValueError: if not.
    """
    if not 0.0 < confidence <= 1.0:
        raise ValueError(f"confidence must lie in (0, 1], not {confidence}")


def check_positive(**values: float) -> None:
    """Checks that arguments, given by name, are above 0.

    Raises:
        ValueError: if one is not; it names the first.
    """
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, not {value}")
