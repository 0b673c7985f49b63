"""How sure a classifier is of a class, as log odds, and how sure is sure enough: a number, or as of typical images."""

from typing import Any

import numpy as np

TYPICAL_SHARE = 1 / 3  # of a class's real images; docs/experiments.md has what other shares are worth
LEAST = 1e-37  # the least probability that float32 tells from 0 on every device
LAST_BIT = 2.0**-25  # a probability that lacks no more than this of 1 is 1 in float32


def odds_of(probabilities: Any, classes: Any) -> Any:
    """Log odds of a class against all others: log p - log(sum of the others), in nats.

    Other than a probability near 1, or 1 minus it, they do not saturate in float32: the small probabilities of the
    other classes keep all their digits. What is 0 counts as 1e-37, so that answers of 0 and 1 have finite odds, too.

    Args:
        probabilities: `[batch, K]`, an array of numpy or JAX.
        classes: `[batch]`, integers.

    Returns:
        `[batch]`; NaN where a probability is.
    """
    xp = probabilities.__array_namespace__()
    own = classes[:, None] == xp.arange(probabilities.shape[1], dtype=classes.dtype)[None]
    of, against = (xp.where(kept, probabilities, 0.0).sum(-1) for kept in (own, ~own))
    return xp.log(xp.maximum(of, LEAST)) - xp.log(xp.maximum(against, LEAST))


def odds_of_probability(probability: float) -> float:
    """The log odds of a probability in [0, 1]; those of 1 are reached by whatever float32 rounds to 1."""
    return float(np.log(max(probability, LEAST)) - np.log(max(1.0 - probability, LAST_BIT)))
