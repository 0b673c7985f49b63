"""Draws the swaps that a model is scored on."""

import numpy as np


def draw_swaps(predictions: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws random exemplars and, for each, a random donor of another predicted class.

    Args:
        predictions: classifier's class of each image, `[N]`.
        count: number of pairs to draw, with replacement.
        seed: seed of the draw.

    Returns:
        Row numbers of the exemplars and of the donors, both `[count]`.

    Raises:
        ValueError: if all predictions are the same class.
    """
    if len(np.unique(predictions)) < 2:
        raise ValueError("swaps need images of two predicted classes or more; the classifier gives all of them one")
    rng = np.random.default_rng(seed)
    exemplars = rng.integers(len(predictions), size=count)
    donors = rng.integers(len(predictions), size=count)
    while (same := predictions[exemplars] == predictions[donors]).any():
        donors[same] = rng.integers(len(predictions), size=int(same.sum()))
    return exemplars, donors


def majority_share(labels: np.ndarray) -> float:
    """Share of the most frequent label, in [0, 1]: the accuracy of always answering it."""
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))
