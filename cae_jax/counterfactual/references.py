"""Where a guided path leads: confident codes of the training set."""

from typing import NamedTuple

import numpy as np


class CodeTable(NamedTuple):
    """Class codes of a data set.

    Attributes:
        class_codes: `[N, size]`.
        predictions: `[N]`, the classifier's classes of the images' reconstructions.
        confidences: `[N]`, their probabilities.
    """

    class_codes: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray


def nearest_references(
    table: CodeTable, class_codes: np.ndarray, predictions: np.ndarray, targets: np.ndarray, confidence: float
) -> np.ndarray:
    """Finds each exemplar's reference: the nearest confident code of its target class (Euclidean distance).

    Args:
        table: of the training set.
        class_codes: `[M, size]`, the exemplars'.
        predictions: `[M]`, the exemplars' classes; never those of their references.
        targets: `[M]`; -1 accepts every class but the exemplar's.
        confidence: the least that a reference must have.

    Returns:
        Rows of the table, `[M]`; -1 where no code qualifies.
    """
    confident = table.confidences >= confidence
    references = np.full(len(class_codes), -1)
    for row, (code, prediction, target) in enumerate(zip(class_codes, predictions, targets, strict=True)):
        wanted = table.predictions != prediction if target < 0 else table.predictions == target
        candidates = np.flatnonzero(confident & wanted & (table.predictions != prediction))
        if len(candidates):
            distances = np.square(table.class_codes[candidates] - code).sum(-1)
            references[row] = candidates[distances.argmin()]
    return references
