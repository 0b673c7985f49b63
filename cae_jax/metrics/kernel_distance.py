"""Kernel inception distance: how far images are from real ones, by the distributions of a network's features."""

import numpy as np


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1.0) ** 3


def _unbiased_mmd(a: np.ndarray, b: np.ndarray) -> float:
    m, n = len(a), len(b)
    own_a, own_b, across = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    within = (own_a.sum() - np.trace(own_a)) / (m * (m - 1)) + (own_b.sum() - np.trace(own_b)) / (n * (n - 1))
    return float(within - 2.0 * across.mean())


def kid(features: np.ndarray, real: np.ndarray, *, seed: int = 0, subsets: int = 100, subset_size: int = 256) -> float:
    """Kernel inception distance (Bińkowski et al. 2018, arXiv 1801.01401); lower is better.

    It is the unbiased estimate of the squared maximum mean discrepancy with the kernel (x·y / d + 1)³, averaged over
    random subsets. Its expected value is 0 for two samples of one distribution; a single estimate may be negative.

    Args:
        features: features of the images, `[N, d]`.
        real: features of real images by the same network, `[M, d]`.
        seed: seed of the random subsets.
        subsets: number of subsets.
        subset_size: images drawn from each side for a subset; as many as the smaller side has, if that is fewer.

    Raises:
        ValueError: for fewer than 2 images on either side, or features of different dimension.
    """
    if features.ndim != 2 or features.shape[1:] != real.shape[1:] or min(len(features), len(real)) < 2:
        raise ValueError(f"features must be [2 or more, d] on both sides, not {features.shape} and {real.shape}")
    rng = np.random.default_rng(seed)
    features, real = features.astype(np.float64), real.astype(np.float64)
    size = min(subset_size, len(features), len(real))
    draw = lambda x: x[rng.choice(len(x), size, replace=False)]  # noqa: E731
    return float(np.mean([_unbiased_mmd(draw(features), draw(real)) for _ in range(subsets)]))


def kid_to_classes(
    features: np.ndarray, classes: np.ndarray, real: np.ndarray, real_classes: np.ndarray, *, seed: int = 0
) -> float:
    """`kid` of the images of each class to the real images of that class, averaged over the images.

    Unlike `kid` to all real images, it is not low for images that are left as they are, of their own class. A class
    with fewer than two images on either side is left out.

    Args:
        features: features of the images, `[N, d]`.
        classes: class that each image should be of, `[N]`.
        real: features of real images by the same network, `[M, d]`.
        real_classes: class of each of them, `[M]`.
        seed: seed of the random subsets.

    Returns:
        The mean distance; NaN if every class is left out.
    """
    distances, weights = [], []
    for number in np.unique(classes):
        own, known = features[classes == number], real[real_classes == number]
        if min(len(own), len(known)) > 1:
            distances.append(kid(own, known, seed=seed))
            weights.append(len(own))
    return float(np.average(distances, weights=weights)) if distances else float("nan")
