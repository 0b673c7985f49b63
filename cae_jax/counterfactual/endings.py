"""Names how each search ended."""

import numpy as np

from cae_jax.types import Ending


def decide_endings(
    prediction: np.ndarray,
    target: np.ndarray,
    has_reference: np.ndarray,
    start_prediction: np.ndarray,
    flip_shift: np.ndarray,
    shift: np.ndarray,
    answered: np.ndarray,
) -> np.ndarray:
    """Decides the `Ending` of every row, `[M]`; the first that applies, from the most basic obstacle on.

    Args:
        prediction: the exemplars' classes, -1 where the classifier has no finite answer.
        target: the classes aimed at, -1 where there is none.
        has_reference: whether a path existed.
        start_prediction: the reconstructions' classes.
        flip_shift: NaN where nothing flipped.
        shift: NaN where the target never became confident.
        answered: whether all answers on the way were finite.
    """
    return np.select(
        [
            prediction < 0,
            target == prediction,
            ~has_reference,
            ~answered,
            start_prediction != prediction,
            np.isnan(flip_shift),
            np.isnan(shift),
        ],
        [
            Ending.NO_ANSWER,
            Ending.ALREADY_TARGET,
            Ending.NO_REFERENCE,
            Ending.NO_ANSWER,
            Ending.NOT_RECONSTRUCTED,
            Ending.NOT_FLIPPED,
            Ending.WEAK,
        ],
        Ending.FLIPPED,
    )
