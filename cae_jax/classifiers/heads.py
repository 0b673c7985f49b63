"""From a classifier's scores to probabilities: what the columns of its output are."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cae_jax.classifiers.answers import ClassifierError


class Head(NamedTuple):
    """What a head takes.

    Attributes:
        outputs: the classifier's outputs, in words.
        columns: meaning of the columns: 'classes', 'one' or 'findings'.
        twin: the head for the same outputs where they are probabilities already, or where these are not.
        scores: whether it takes scores; else probabilities.
    """

    outputs: str
    columns: str
    twin: str
    scores: bool


HEADS = {
    "softmax": Head("a score for each class", "classes", "probabilities", True),
    "logit": Head("one score, for the second of two classes", "one", "probability", True),
    "sigmoid": Head("a score for each of several findings", "findings", "findings", True),
    "probabilities": Head("a probability for each class", "classes", "softmax", False),
    "probability": Head("one probability, of the second of two classes", "one", "logit", False),
    "findings": Head("a probability for each of several findings", "findings", "sigmoid", False),
}


def make_head(name: str, finding: int = 0, columns: tuple[int, ...] = ()) -> Callable[[Any], Any]:
    """Makes the function from a classifier's outputs `[batch, outputs]`, of numpy or of JAX, to probabilities.

    Args:
        name: meaning of the outputs. 'softmax': a score for each class. 'logit': one score, for the second of two
            classes. 'sigmoid': a score for each of several findings that do not exclude each other, of which one is
            explained as absent (class 0) or present (class 1). 'probabilities', 'probability' and 'findings': the same
            three, where the outputs are probabilities already.
        finding: the column of that one.
        columns: columns of the K classes, in their order; () takes every column. All others are left out, and the
            probabilities are those among the K: of scores, the softmax over them; of probabilities, their shares of
            their sum.

    Returns:
        Outputs to probabilities `[batch, K]`. It raises ClassifierError for outputs of another shape.

    Raises:
        ValueError: for another name, or columns that cannot be.
    """
    if name not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, not {name!r}")
    kind = HEADS[name]
    if columns and kind.columns != "classes":
        raise ValueError(f"columns go with the heads softmax and probabilities; of {name!r}, `finding` is the column")
    if len(set(columns)) != len(columns) or any(column < 0 for column in columns):
        raise ValueError(f"columns must be different numbers from 0 on, not {columns}")

    @np.errstate(invalid="ignore", divide="ignore")  # no number comes of what is none, and is told apart later
    def head(outputs: Any) -> Any:
        if kind.columns == "one":
            if outputs.size != len(outputs):
                raise ClassifierError(f"head {name!r} takes one score for each image, not {outputs.shape}")
            return _absent_or_present(outputs.reshape(-1), kind.scores)
        if outputs.ndim != 2:
            raise ClassifierError(f"the classifier's outputs must be [images, scores], not {outputs.shape}")
        if kind.columns == "findings":
            if not 0 <= finding < outputs.shape[1]:
                raise ClassifierError(
                    f"finding {finding} does not exist; the classifier has 0 to {outputs.shape[1] - 1}"
                )
            return _absent_or_present(outputs[:, finding], kind.scores)
        if columns:
            if max(columns) >= outputs.shape[1]:
                raise ClassifierError(
                    f"column {max(columns)} does not exist; the classifier has 0 to {outputs.shape[1] - 1}"
                )
            outputs = outputs[:, np.asarray(columns)]
        xp = outputs.__array_namespace__()
        if kind.scores:
            outputs = xp.exp(outputs - outputs.max(-1, keepdims=True))
        elif not columns:
            return outputs
        return outputs / outputs.sum(-1, keepdims=True)

    return head


def _absent_or_present(scores: Any, logistic: bool) -> Any:
    xp = scores.__array_namespace__()
    # the logistic function, which overflows nowhere in this form
    present = 0.5 + 0.5 * xp.tanh(0.5 * scores) if logistic else scores
    return xp.stack([1.0 - present, present], axis=-1)
