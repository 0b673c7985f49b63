"""Bootstrap confidence intervals of means over images, and of paired differences."""

import numpy as np

CHUNK = 200  # resamples drawn at once


def bootstrap_interval(
    values: np.ndarray, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float, float]:
    """Returns the mean and its percentile bootstrap confidence interval (Efron & Tibshirani 1993).

    Args:
        values: one value an image, `[N]`; NaN values are left out.
        seed: seed of the resampling.
        resamples: number of resamples.
        level: confidence level, the share of resampled means inside the interval.

    Returns:
        Mean, lower and upper end of the interval; all are NaN where no value is left.

    Raises:
        ValueError: if `values` has another shape.
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
    """Returns the mean of the paired differences `values - others` and its bootstrap confidence interval.

    Args:
        values: one value an image, `[N]`.
        others: values that are subtracted, `[N]`; pairs in which either value is NaN are left out.
        seed: seed of the resampling.
        resamples: number of resamples.
        level: confidence level, the share of resampled means inside the interval.

    Returns:
        Mean, lower and upper end of the interval; all are NaN where no pair is left.

    Raises:
        ValueError: if the shapes differ or are not `[N]`.
    """
    values, others = np.asarray(values, np.float64), np.asarray(others, np.float64)
    if values.shape != others.shape:
        raise ValueError(f"pairs need as many values as others, not {values.shape} and {others.shape}")
    return bootstrap_interval(values - others, seed, resamples, level)
