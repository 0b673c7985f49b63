"""How far a mean over images can be trusted: bootstrap intervals, and paired differences."""

import numpy as np

CHUNK = 200  # resamples at once


def bootstrap_interval(
    values: np.ndarray, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float, float]:
    """The mean and its percentile bootstrap interval (Efron & Tibshirani 1993).

    Args:
        values: `[N]`; NaN rows are left out.
        seed: of the resamples.
        resamples: how many.
        level: the share of resampled means inside the interval.

    Returns:
        Mean, low and high end; all NaN without a row.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1:
        raise ValueError(f"values must be [N], not {values.shape}")
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan, np.nan
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[rng.integers(len(values), size=(min(CHUNK, resamples - start), len(values)))].mean(-1)
            for start in range(0, resamples, CHUNK)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


def paired_difference(
    values: np.ndarray, others: np.ndarray, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float, float]:
    """`bootstrap_interval` of `values - others`, row by row; rows where either is NaN are left out."""
    values, others = np.asarray(values, np.float64), np.asarray(others, np.float64)
    if values.shape != others.shape:
        raise ValueError(f"pairs need as many values as others, not {values.shape} and {others.shape}")
    return bootstrap_interval(values - others, seed, resamples, level)
