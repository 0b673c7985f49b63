"""The code table: class codes of a data set, which guided paths lead to."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree


class CodeTable(NamedTuple):
    """Class codes of images, a row each.

    Attributes:
        names: `[N]`, of the images.
        class_codes: `[N, size]`.
        labels: `[N]`, the data set's own.
        predictions: `[N]`, the classifier's classes of the images' reconstructions.
        confidences: `[N]`, their probabilities.
    """

    names: np.ndarray
    class_codes: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray

    def confident(self, target: int, confidence: float) -> np.ndarray:
        """Rows whose reconstructions are of a class with at least this probability."""
        return np.flatnonzero((self.predictions == target) & (self.confidences >= confidence))


def nearest_rows(tree: KDTree, codes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the nearest rows of a tree and their numbers, both `[len(codes), at most count]`."""
    count = min(count, tree.n)
    distances, rows = tree.query(codes, k=count)
    return np.reshape(distances, (len(codes), count)), np.reshape(rows, (len(codes), count))
