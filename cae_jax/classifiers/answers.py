"""A classifier's answers: asked for any number of images, checked before anything is built on them, differentiated."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax import images as image_ranges
from cae_jax.errors import UserError
from cae_jax.parallel.batching import map_batches, rows_of_a_call
from cae_jax.parallel.sharding import split_over_devices
from cae_jax.types import ImageSource, Predict

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
WORDS = 300  # characters of somebody else's message that ours repeat


class ClassifierError(UserError, RuntimeError):
    """A classifier cannot be asked, or its answers are not what they should be; the message says what they are."""


def words_of(error: BaseException, telling: str = "") -> str:
    """The first line of an error's message, or the first with a `telling` word, without colours, shortened."""
    lines = [line.strip() for line in COLOURS.sub("", str(error)).splitlines() if line.strip()] or ["no message"]
    line = next((line for line in lines if telling in line), lines[0]).rstrip(".")
    return line if len(line) <= WORDS else f"{line[:WORDS]}..."


def classes_of(answers: np.ndarray) -> np.ndarray:
    """The most probable class of each answer, `[N]` int32; -1 for answers that are not finite."""
    answered = np.isfinite(answers).all(-1)
    return np.where(answered, answers.argmax(-1), -1).astype(np.int32)


def check_answers(answers: np.ndarray, images: int, classes: int) -> np.ndarray:
    """Makes sure that answers are probabilities.

    Args:
        answers: array that a classifier returned.
        images: number of images that it was asked about.
        classes: K, the number of the run's classes.

    Returns:
        `[images, K]` float32. Answers with a number that is not finite are all NaN: there is none to that image.

    Raises:
        ClassifierError: for another shape, or rows that are no probabilities (logits, say).
    """
    answers = np.asarray(answers)
    if answers.shape != (images, classes):
        raise ClassifierError(
            f"the classifier returned {answers.shape} for {images} images; the run has {classes} classes, so "
            f"{(images, classes)} is expected"
        )
    if not np.issubdtype(answers.dtype, np.floating):
        raise ClassifierError(f"the classifier returned {answers.dtype}; probabilities are floating-point numbers")
    answered = np.asarray(np.isfinite(answers).all(-1))
    answers = np.where(answered[:, None], answers, np.nan).astype(np.float32)
    off = answered & ((answers.min(-1) < -1e-3) | (np.abs(answers.sum(-1, dtype=np.float64) - 1.0) > 1e-2))
    if off.any():
        row = answers[np.flatnonzero(off)[0]]
        raise ClassifierError(
            f"the classifier's answer to image {np.flatnonzero(off)[0]} lies in {row.min():.3g} to {row.max():.3g} and "
            f"sums to {row.sum():.3g}; probabilities sum to 1. If these are logits, put a softmax behind them"
        )
    return answers


def make_answer(predict: Callable[[Any], Any], traceable: bool) -> Callable[[Any], Any]:
    """Makes a classifier ready for images that are uint8 or in [0, 1]: compiled, or called with numpy arrays."""
    if traceable:
        compiled = jax.jit(lambda images: predict(image_ranges.to_unit(images)))
        return lambda images: compiled(split_over_devices(images))
    return lambda images: predict(np.asarray(image_ranges.to_unit(images)))


def predicted_classes(
    answer: Callable[[Any], Any], source: ImageSource, *, compiled: bool = True, spread: bool = False
) -> np.ndarray:
    """The classes that a classifier gives to all images of a source, `[N]` int32; -1 where it has no finite answer.

    Args:
        answer: the classifier, see `make_answer`.
        source: images, at least 1.
        compiled: whether it is compiled for a number of images, so that all calls had better take as many; otherwise it
            is asked about each image once, as that may be slow.
        spread: see `map_batches`.
    """

    def classes(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
        if compiled or asked.all():
            return classes_of(np.asarray(answer(source.take(rows))))
        found = np.full(len(rows), -1, np.int32)
        found[asked] = classes_of(np.asarray(answer(source.take(rows[asked]))))
        return found

    height, width = source.take(np.arange(1)).shape[1:3]
    of_a_call = min(rows_of_a_call(height, width), len(source))
    return map_batches(classes, np.arange(len(source)), batch_size=of_a_call, spread=spread, mask=True)


def with_sound_gradients(predict: Predict) -> Predict:
    """The same classifier; its gradient at an image is 0 where the answer or the gradient itself is not finite.

    Such an image (a blank one, for a classifier that divides by the standard deviation) would else make the gradient of
    its whole batch NaN, whatever weight it has in the loss.
    """

    @jax.custom_vjp
    def sound(images: jax.Array) -> jax.Array:
        return predict(images)

    def forward(images: jax.Array) -> tuple[jax.Array, tuple[Callable, jax.Array]]:
        answers, pull_back = jax.vjp(predict, images)
        return answers, (pull_back, jnp.isfinite(answers).all(-1))

    def backward(kept: tuple[Callable, jax.Array], cotangent: jax.Array) -> tuple[jax.Array]:
        pull_back, answered = kept
        (gradient,) = pull_back(jnp.where(answered[:, None], cotangent, 0.0))
        finite = answered & jnp.isfinite(gradient).all((1, 2, 3))
        return (jnp.where(finite[:, None, None, None], gradient, 0.0),)

    sound.defvjp(forward, backward)
    return sound
