"""Rates that are balanced over classes, for data in which some classes are rare."""

from typing import NamedTuple

import numpy as np


class BalancedRate(NamedTuple):
    """The mean of the rates of all classes: a rare class counts as much as a frequent one.

    Attributes:
        rate: mean of the classes' rates, in [0, 1].
        error: standard error of `rate`; classes with few images make it larger.
    """

    rate: float
    error: float


def balanced_rate(hits: np.ndarray, classes: np.ndarray) -> BalancedRate:
    """Computes the rate of hits, balanced over the classes.

    The standard error of a class's rate is computed with one hit and one miss added (Agresti & Coull 1998), so that a
    class with a single image does not count as certain.

    Args:
        hits: whether each image is a hit, or its share of hits, `[N]` in [0, 1].
        classes: class of each image, integers `[N]`.
    """
    _, position, counts = np.unique(classes, return_inverse=True, return_counts=True)
    sums = np.bincount(position, hits)
    shares = (sums + 1) / (counts + 2)
    error = np.sqrt((shares * (1 - shares) / (counts + 2)).sum()) / len(counts)
    return BalancedRate(float((sums / counts).mean()), float(error))
