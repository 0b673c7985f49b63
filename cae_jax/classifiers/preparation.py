"""From images in [0, 1] to what a classifier was trained on, and from its outputs to probabilities."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and OpenCV make grey of colours
HEADS = ("softmax", "logit", "sigmoid", "probabilities")


@dataclass(frozen=True)
class Preparation:
    """What a classifier does to images first.

    Attributes:
        size: height and width that images are scaled to; None to leave them.
        channels: 1 or 3, to make grey of colours or colours of grey; 0 to leave them.
        order: of the channels, 'RGB' or 'BGR'.
        range: that [0, 1] is spread over, such as (0, 255).
        mean: subtracted after that, one number or one for each channel.
        std: divided by after that, likewise.
        layout: 'NHWC' or 'NCHW'.
    """

    size: tuple[int, int] | None = None
    channels: int = 0
    order: str = "RGB"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "NHWC"

    def __post_init__(self) -> None:
        if self.channels not in (0, 1, 3):
            raise ValueError(f"input.channels must be 1, 3, or 0 for those of the images, not {self.channels}")
        if self.order not in ("RGB", "BGR"):
            raise ValueError(f"input.order must be 'RGB' or 'BGR', not {self.order!r}")
        if self.layout not in ("NHWC", "NCHW"):
            raise ValueError(f"input.layout must be 'NHWC' or 'NCHW', not {self.layout!r}")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (1, self.channels or len(numbers)):
                raise ValueError(f"input.{name} must be one number or one for each channel, not {numbers}")
        if min(self.std) <= 0 or self.range[0] >= self.range[1]:
            raise ValueError(f"input.std must be above 0 and input.range ascend, not {self.std} and {self.range}")

    def __call__(self, images: Any) -> Any:
        """Prepares `[batch, height, width, channels]` in [0, 1], as the same kind of array, numpy's or JAX's."""
        xp = images.__array_namespace__()
        if self.size is not None and self.size != images.shape[1:3]:
            rows, columns = (_scaling(old, new) for old, new in zip(images.shape[1:3], self.size, strict=True))
            images = xp.einsum("bhwc,ih,jw->bijc", images, rows, columns, optimize=True)
        if self.channels == 1 and images.shape[-1] == 3:
            images = (images * xp.asarray(LUMINANCE, dtype=images.dtype)).sum(-1, keepdims=True)
        elif self.channels == 3 and images.shape[-1] == 1:
            images = xp.repeat(images, 3, axis=-1)
        if self.order == "BGR":
            images = images[..., ::-1]
        low, high = self.range
        mean, std = (xp.asarray(numbers, dtype=images.dtype) for numbers in (self.mean, self.std))
        images = (images * (high - low) + low - mean) / std
        return xp.transpose(images, (0, 3, 1, 2)) if self.layout == "NCHW" else images


AS_IT_IS = Preparation()


@functools.cache
def _scaling(old: int, new: int) -> np.ndarray:
    """The matrix `[new, old]` of linear interpolation, smoothed where it makes smaller."""
    return np.asarray(jax.image.resize(np.eye(old, dtype=np.float32), (new, old), "linear"))


def make_head(name: str, finding: int = 0) -> Callable[[Any], Any]:
    """Makes the function from a classifier's outputs, of numpy or of JAX, to probabilities `[batch, K]`.

    Args:
        name: what the outputs are. 'softmax': K scores. 'logit': one score, for the second of two classes. 'sigmoid':
            a score for each of several findings that do not exclude each other, of which one is explained as absent
            (class 0) or present (class 1). 'probabilities': as they should be.
        finding: the column of that one.

    Raises:
        ValueError: for another name; when called, for outputs of another shape.
    """
    if name not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, not {name!r}")

    def head(outputs: Any) -> Any:
        xp = outputs.__array_namespace__()
        if name == "logit":
            if outputs.size != len(outputs):
                raise ValueError(f"head 'logit' takes one score for each image, not {outputs.shape}")
            return _absent_or_present(xp, outputs.reshape(-1))
        if outputs.ndim != 2:
            raise ValueError(f"the classifier's outputs must be [images, scores], not {outputs.shape}")
        if name == "sigmoid":
            if not 0 <= finding < outputs.shape[1]:
                raise ValueError(f"finding {finding} does not exist; the classifier has 0 to {outputs.shape[1] - 1}")
            return _absent_or_present(xp, outputs[:, finding])
        if name == "softmax":
            powers = xp.exp(outputs - outputs.max(-1, keepdims=True))
            return powers / powers.sum(-1, keepdims=True)
        return outputs

    return head


def _absent_or_present(xp: Any, scores: Any) -> Any:
    present = 0.5 + 0.5 * xp.tanh(0.5 * scores)  # the logistic function, which overflows nowhere in this form
    return xp.stack([1.0 - present, present], axis=-1)
