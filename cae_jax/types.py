"""Protocols and result records that the packages share."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

Predict = Callable[[jax.Array], jax.Array]
"""A classifier: takes images `[batch, height, width, channels]` in [0, 1], returns probabilities `[batch, K]`."""

Tap = Callable[[jax.Array, jax.Array | float], tuple[jax.Array, jax.Array]]
"""A classifier with a view into it: takes images and an offset; returns scores before the softmax, `[batch, K]`, and a
layer's output.

The output is `[batch, h, w, features]`. The offset, a number or of the output's shape, is added to it before the
classifier goes on, so that the gradient by the offset at 0 is the one by the output.
"""

HostClassifier = Callable[[np.ndarray], np.ndarray]
"""A classifier that JAX cannot trace: takes images `[batch, height, width, channels]` float32 in [0, 1], returns
probabilities `[batch, K]`."""


@runtime_checkable
class ImageSource(Protocol):
    """Labelled images of one size, read by position."""

    labels: np.ndarray
    """`[N]` int32, the data set's own labels."""

    def __len__(self) -> int: ...

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images `[len(indices), height, width, channels]`, uint8."""
        ...


class Ending(enum.IntEnum):
    """How the explanation of an image ended. All endings stay in the denominator of every rate."""

    FLIPPED = 0
    WEAK = 1
    NOT_FLIPPED = 2
    ALREADY_TARGET = 3
    NOT_RECONSTRUCTED = 4
    NO_REFERENCE = 5
    NO_ANSWER = 6

    @property
    def message(self) -> str:
        """What that means, in a sentence."""
        return _MESSAGES[self]


_MESSAGES = {
    Ending.FLIPPED: "the classifier's answer flipped and became confident on the way",
    Ending.WEAK: "the answer flipped, but the target never became confident",
    Ending.NOT_FLIPPED: "the answer did not flip before the end of the path",
    Ending.ALREADY_TARGET: "the classifier already gives the image the target class",
    Ending.NOT_RECONSTRUCTED: "the classifier answers differently for the reconstruction, so its path explains nothing",
    Ending.NO_REFERENCE: "no training image is confidently of the target class, so there is nowhere to go",
    Ending.NO_ANSWER: "the classifier has no finite answer to the image, or to one on its path",
}


class Box(NamedTuple):
    """A rectangle on a picture, in its pixels; it may reach beyond the picture's edges."""

    top: float
    left: float
    height: float
    width: float


class Picture(NamedTuple):
    """The whole picture that an image was made of.

    Attributes:
        pixels: `[height, width, channels]` uint8, as it is in the file.
        place: where the image lies on it.
    """

    pixels: np.ndarray
    place: Box


@dataclass(frozen=True)
class Explanation:
    """Explanations as M rows; several rows may belong to one image.

    Attributes:
        image_index: `[M]`, row of the image that was handed in.
        prediction: `[M]`, the classifier's class of the image; -1 where it has no finite answer.
        target: `[M]`, the class at the path's end; -1 where there was none to aim at.
        status: `[M]`, an `Ending`.
        flip_shift: `[M]`, the first shift in [0, 1] at which the answer flips; NaN if it does not.
        shift: `[M]`, the first shift at which the target reaches the confidence asked for, where the counterfactual is
            drawn; NaN if it does not.
        typicality: `[M]`, share of the training images of the target class (by the classifier's word) that the
            classifier is no surer of than of the counterfactual, in [0, 1]; NaN where there is no such image or no
            finite answer, or where neither paths nor confidence needed a code table.
        individual_bits: `[M]`, bits that the image's individual code takes, by the distribution of such codes that the
            model has learned; NaN where they are not whole numbers.
        reference: `[M]`, row of the code table that the path leads to; -1 where it is not one image's code.
        counterfactual: `[M, height, width, channels]` in [0, 1]; without a `shift`, the image at the path's end.
        counterfactual_code: `[M, size]`, the counterfactual's class code.
        counterfactual_probabilities: `[M, K]`, the classifier's answer to the counterfactual.
        saliency: `[M, height, width]` in [-1, 1] (of kind 'relevance', in nats); all zero without a `shift`.
        path_shifts: `[P]`, from 0 to 1.
        path_images: `[M, P, height, width, channels]` in [0, 1]; the first is the reconstruction.
        path_probabilities: `[M, P, K]`.
        answer: `[M]`, which of its request's answers a row is: 0 the best, then the diverse ones, row after row.
        tried: `[M]`, paths that were searched for the row's request.
        confident: `[M]`, how many of them reached a confident flip; diverse answers are chosen among these.
    """

    image_index: np.ndarray
    prediction: np.ndarray
    target: np.ndarray
    status: np.ndarray
    flip_shift: np.ndarray
    shift: np.ndarray
    typicality: np.ndarray
    individual_bits: np.ndarray
    reference: np.ndarray
    counterfactual: np.ndarray
    counterfactual_code: np.ndarray
    counterfactual_probabilities: np.ndarray
    saliency: np.ndarray
    path_shifts: np.ndarray
    path_images: np.ndarray
    path_probabilities: np.ndarray
    answer: np.ndarray
    tried: np.ndarray
    confident: np.ndarray

    def __len__(self) -> int:
        return len(self.image_index)

    @property
    def answers(self) -> np.ndarray:
        """How many answers the request of each row has, `[M]`."""
        counts = np.diff(np.append(np.flatnonzero(self.answer == 0), len(self)))
        return np.repeat(counts, counts)
