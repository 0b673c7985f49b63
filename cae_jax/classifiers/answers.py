"""Checks what a classifier answers before anything is built on it."""

import numpy as np

from cae_jax.errors import UserError


class ClassifierError(UserError, RuntimeError):
    """A classifier's answers are not probabilities of the expected classes; the message says what they are."""


def check_answers(answers: np.ndarray, images: int, classes: int) -> np.ndarray:
    """Makes sure that answers are probabilities.

    Args:
        answers: what a classifier returned.
        images: how many it was asked about.
        classes: K, of the run.

    Returns:
        `[images, K]` float32.

    Raises:
        ClassifierError: for another shape, values that are not finite, or rows that are no probabilities (logits, say).
    """
    answers = np.asarray(answers)
    if answers.shape != (images, classes):
        raise ClassifierError(
            f"the classifier returned {answers.shape} for {images} images; the run has {classes} classes, so "
            f"{(images, classes)} is expected"
        )
    if not np.issubdtype(answers.dtype, np.floating):
        raise ClassifierError(f"the classifier returned {answers.dtype}; probabilities are floating-point numbers")
    broken = np.flatnonzero(~np.isfinite(answers).all(-1))
    if len(broken):
        raise ClassifierError(f"the classifier's answer to image {broken[0]} is not finite: {answers[broken[0]]}")
    off = (answers.min(-1) < -1e-3) | (np.abs(answers.sum(-1, dtype=np.float64) - 1.0) > 1e-2)
    if off.any():
        row = answers[np.flatnonzero(off)[0]]
        raise ClassifierError(
            f"the classifier's answer to image {np.flatnonzero(off)[0]} lies in {row.min():.3g} to {row.max():.3g} and "
            f"sums to {row.sum():.3g}; probabilities sum to 1. If these are logits, put a softmax behind them"
        )
    return answers.astype(np.float32)
