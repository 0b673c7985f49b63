"""A baseline that uses real images as counterfactuals: the nearest image of the target class."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from cae_jax.baselines.inputs import Array, WhiteBox, check_confidence, check_known, class_numbers
from cae_jax.images import unit_images
from cae_jax.parallel.batching import map_batches


def nearest_unlike_neighbour(
    classifier: WhiteBox, images: Array, targets: Array, *, pool: Array, confidence: float, batch_size: int = 64
) -> np.ndarray:
    """Returns the nearest image of a pool (Euclidean distance of pixels) that is confidently of the target class.

    This is the nearest unlike neighbour of case-based reasoning (Dasarathy 1995; as a counterfactual, Keane & Smyth
    2020, arXiv 2005.13997).

    Args:
        classifier: classifier to explain; its `predict` is called on the pool.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        targets: target class of each image, integers `[N]`.
        pool: images to choose from, `[M, height, width, channels]`, uint8 or float in [0, 1].
        confidence: probability that the target must reach, in (0, 1]. If no image of the pool reaches it, the one with
            the highest probability is returned.
        batch_size: number of the pool's images in a call of the classifier.

    Returns:
        Images of the pool, `[N, height, width, channels]` float32 in [0, 1].

    Raises:
        ValueError: for input of another shape or range, probabilities of the pool that are not finite, or targets that
            the classifier does not have.
    """
    check_confidence(confidence)
    unit, candidates = unit_images(images), unit_images(pool, "pool image")
    if unit.shape[1:] != candidates.shape[1:]:
        raise ValueError(f"pool must have images of shape {unit.shape[1:]} as images has, not {candidates.shape[1:]}")
    probabilities = map_batches(classifier.predict, candidates, batch_size=min(batch_size, len(candidates)))
    if probabilities.ndim != 2 or len(probabilities) != len(candidates) or not np.isfinite(probabilities).all():
        raise ValueError(
            f"the classifier's answers to the pool must be finite, [{len(candidates)}, K], a row for each image; "
            f"their shape is {probabilities.shape}"
        )
    numbers = class_numbers(targets, len(unit), "targets")
    check_known(numbers, probabilities.shape, "targets")
    rows = np.empty(len(unit), np.int64)
    for target in np.unique(numbers):
        asking = np.flatnonzero(numbers == target)
        eligible = np.flatnonzero(probabilities[:, target] >= confidence)
        if len(eligible) == 0:
            eligible = probabilities[:, target].argmax(keepdims=True)
        finder = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(_flat(candidates[eligible]))
        rows[asking] = eligible[finder.kneighbors(_flat(unit[asking]), return_distance=False)[:, 0]]
    return candidates[rows]


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
