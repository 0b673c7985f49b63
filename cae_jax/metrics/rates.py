"""Rates over classes of which some are rare."""

from typing import NamedTuple

import numpy as np


class BalancedRate(NamedTuple):
    """The mean of the classes' own rates, in [0, 1]: a rare class counts as much as a frequent one.

    Attributes:
        rate: the mean.
        error: its standard error, where a class of few images counts for how little it tells.
        chance: what an answer that is the same for all classes gets.
    """

    rate: float
    error: float
    chance: float


def balanced_rate(hits: np.ndarray, classes: np.ndarray) -> BalancedRate:
    """The balanced rate of hits.

    A class's error is that of the estimate with a hit and a miss added (Agresti & Coull 1998), so that one image alone
    is not certain.

    Args:
        hits: `[N]` in [0, 1], of each image.
        classes: `[N]` whole numbers.
    """
    _, position, counts = np.unique(classes, return_inverse=True, return_counts=True)
    sums = np.bincount(position, hits)
    shares = (sums + 1) / (counts + 2)
    error = np.sqrt((shares * (1 - shares) / (counts + 2)).sum()) / len(counts)
    return BalancedRate(float((sums / counts).mean()), float(error), 1 / len(counts))
