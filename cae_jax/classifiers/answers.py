"""Checks what a classifier answers before anything is built on it."""

import re

import numpy as np

from cae_jax.errors import UserError

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
