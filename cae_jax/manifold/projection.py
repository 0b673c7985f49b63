"""The class codes' shape: principal components, a t-SNE picture, how many dimensions they really fill."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE


class PrincipalComponents(NamedTuple):
    """Directions in which class codes vary, the largest first.

    Attributes:
        mean: `[size]`.
        axes: `[D, size]`, of length 1; each one's largest entry is positive.
        deviations: `[D]`, standard deviations along them.
        explained: `[D]`, shares of the variance, in [0, 1].
    """

    mean: np.ndarray
    axes: np.ndarray
    deviations: np.ndarray
    explained: np.ndarray

    def project(self, codes: np.ndarray, dimensions: int = 2) -> np.ndarray:
        """Coordinates `[N, dimensions]` of codes `[N, size]`."""
        return (codes - self.mean) @ self.axes[:dimensions].T

    def lift(self, coordinates: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Codes `[N, size]` at coordinates `[N, dimensions]`; in the other directions they are like `base`."""
        axes = self.axes[: coordinates.shape[1]]
        return base + (coordinates - (base - self.mean) @ axes.T) @ axes


def principal_components(codes: np.ndarray) -> PrincipalComponents:
    """Principal components of codes `[N, size]`, N at least 2.

    Raises:
        ValueError: for fewer codes.
    """
    if len(codes) < 2:
        raise ValueError(f"principal components need 2 codes or more, not {len(codes)}")
    pca = PCA(svd_solver="full").fit(codes)
    axes = np.asarray(pca.components_)
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], axis=1))
    return PrincipalComponents(pca.mean_, axes, np.sqrt(pca.explained_variance_), pca.explained_variance_ratio_)


def tsne(codes: np.ndarray, seed: int) -> np.ndarray:
    """A t-SNE picture `[N, 2]` of codes `[N, size]` (van der Maaten & Hinton 2008); far distances mean nothing in it.

    Raises:
        ValueError: for fewer than 4 codes.
    """
    if len(codes) < 4:
        raise ValueError(f"t-SNE needs 4 codes or more, not {len(codes)}")
    perplexity = min(30.0, (len(codes) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes).astype(np.float32)


def intrinsic_dimension(codes: np.ndarray) -> float:
    """How many dimensions codes `[N, size]` fill locally, by the TwoNN estimator (Facco et al. 2017, arXiv 1803.06992).

    The ratio of the distances to the second and the first neighbour is Pareto distributed with the dimension as its
    exponent; this is its maximum-likelihood estimate. Copies of a code are left out.

    Raises:
        ValueError: for fewer than 3 different codes.
    """
    codes = np.unique(codes, axis=0)
    if len(codes) < 3:
        raise ValueError(f"the intrinsic dimension needs 3 different codes or more, not {len(codes)}")
    distances, _ = KDTree(codes).query(codes, k=3)
    ratios = np.log(distances[:, 2] / distances[:, 1])
    return float(len(codes) / ratios.sum()) if ratios.sum() > 0 else float("inf")
