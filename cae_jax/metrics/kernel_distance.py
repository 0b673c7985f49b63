"""How far images are from real ones, as distributions of a network's features."""

import numpy as np


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1.0) ** 3


def _unbiased_mmd(a: np.ndarray, b: np.ndarray) -> float:
    m, n = len(a), len(b)
    own_a, own_b, across = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    within = (own_a.sum() - np.trace(own_a)) / (m * (m - 1)) + (own_b.sum() - np.trace(own_b)) / (n * (n - 1))
    return float(within - 2.0 * across.mean())


def kid(features: np.ndarray, real: np.ndarray, *, seed: int = 0, subsets: int = 100, subset_size: int = 256) -> float:
    """Kernel inception distance (Bińkowski et al. 2018, arXiv 1801.01401): 0 for one distribution, lower is better.

    The unbiased squared maximum mean discrepancy with the kernel (x·y / d + 1)³, the mean over random subsets; it may
    fall below 0.

    Args:
        features: `[N, d]`, of the images.
        real: `[M, d]`, of real ones, by the same network.
        seed: of the subsets.
        subsets: how many.
        subset_size: images of each side in one; at most N and M.

    Raises:
        ValueError: for fewer than 2 images on a side, or features of different sizes.
    """
    if features.ndim != 2 or features.shape[1:] != real.shape[1:] or min(len(features), len(real)) < 2:
        raise ValueError(f"features must be [2 or more, d] on both sides, not {features.shape} and {real.shape}")
    rng = np.random.default_rng(seed)
    features, real = features.astype(np.float64), real.astype(np.float64)
    size = min(subset_size, len(features), len(real))
    draw = lambda x: x[rng.choice(len(x), size, replace=False)]  # noqa: E731
    return float(np.mean([_unbiased_mmd(draw(features), draw(real)) for _ in range(subsets)]))


def kid_floor(real: np.ndarray, *, seed: int = 0) -> float:
    """`kid` of one random half of real images from the other: what cannot be told from 0."""
    order = np.random.default_rng(seed).permutation(len(real))
    return kid(real[order[: len(real) // 2]], real[order[len(real) // 2 :]], seed=seed)
