"""The shape of the class codes: principal components, t-SNE projection, intrinsic dimension."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE


class PrincipalComponents(NamedTuple):
    """Principal directions of class codes, in descending order of variance.

    Attributes:
        mean: mean code, `[size]`.
        axes: unit vectors along the directions, `[D, size]`; the entry of largest magnitude of each is positive.
        deviations: standard deviation of the codes along each direction, `[D]`.
        explained: share of the variance along each direction, `[D]` in [0, 1].
    """

    mean: np.ndarray
    axes: np.ndarray
    deviations: np.ndarray
    explained: np.ndarray

    def project(self, codes: np.ndarray, dimensions: int = 2) -> np.ndarray:
        """Projects codes `[N, size]` onto the first directions; returns coordinates `[N, dimensions]`.

        Beyond the directions that there are, coordinates are 0.
        """
        along = (codes - self.mean) @ self.axes[:dimensions].T
        return np.pad(along, ((0, 0), (0, dimensions - along.shape[1])))

    def lift(self, coordinates: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Returns codes `[N, size]` with the given coordinates `[N, dimensions]`, else as `base`.

        Args:
            coordinates: coordinates along the first directions; those beyond the ones that there are do not count.
            base: code or codes, `[size]` or `[N, size]`, whose coordinates along all other directions are kept.
        """
        axes = self.axes[: coordinates.shape[1]]
        coordinates = coordinates[:, : len(axes)]
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
    """t-SNE projection `[N, 2]` of codes `[N, size]` (van der Maaten & Hinton 2008); its large distances mean nothing.

    Raises:
        ValueError: for fewer than 4 codes, or codes that are all the same.
    """
    if len(codes) < 4:
        raise ValueError(f"t-SNE needs 4 codes or more, not {len(codes)}")
    if (codes == codes[0]).all():  # the library would divide by their deviation, and end the process
        raise ValueError("t-SNE needs different codes; these are all the same")
    perplexity = min(30.0, (len(codes) - 1) / 3)
    start = "pca" if codes.shape[1] > 1 else "random"
    return TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(codes).astype(np.float32)


def intrinsic_dimension(codes: np.ndarray) -> float:
    """Intrinsic dimension of codes `[N, size]` by the TwoNN estimator (Facco et al. 2017, arXiv 1803.06992).

    The ratio of the distances to the second and the first neighbour is Pareto distributed with the dimension as its
    exponent; this is the exponent's maximum-likelihood estimate. Duplicate codes are left out.

    Raises:
        ValueError: for fewer than 3 different codes.
    """
    codes = np.unique(codes, axis=0)
    if len(codes) < 3:
        raise ValueError(f"the intrinsic dimension needs 3 different codes or more, not {len(codes)}")
    distances, _ = KDTree(codes).query(codes, k=3)
    ratios = np.log(distances[:, 2] / distances[:, 1])
    return float(len(codes) / ratios.sum()) if ratios.sum() > 0 else float("inf")
