"""From images in [0, 1] to what a classifier was trained on."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from cae_jax.classifiers.answers import ClassifierError

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and OpenCV make grey of colours


@dataclass(frozen=True)
class Preparation:
    """What a classifier does to images first.

    Attributes:
        size: height and width that images are scaled to; None to leave them.
        channels: 1 or 3, to make grey of colours or colours of grey; 0 to leave them.
        order: order of the channels, 'RGB' or 'BGR'.
        range: range that [0, 1] is spread over, such as (0, 255).
        mean: number that is subtracted after that, or one for each channel.
        std: number that is divided by after that, or one for each channel.
        layout: order of the axes, 'NHWC' or 'NCHW'.
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

    @property
    def is_levels(self) -> bool:
        """Whether it makes levels of brightness from 0 to 255, as whole numbers have them."""
        return (self.range, set(self.mean), set(self.std)) == ((0.0, 255.0), {0.0}, {1.0})

    def __call__(self, images: Any) -> Any:
        """Prepares `[batch, height, width, channels]` in [0, 1], as the same kind of array, numpy's or JAX's.

        Raises:
            ClassifierError: if mean or std are of other channels than the images.
        """
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
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (1, images.shape[-1]):
                raise ClassifierError(
                    f"input.{name} has {len(numbers)} numbers, but the images have {images.shape[-1]} channel(s); "
                    f"input.channels = {len(numbers)} gives them as many"
                )
        low, high = self.range
        mean, std = (xp.asarray(numbers, dtype=images.dtype) for numbers in (self.mean, self.std))
        images = (images * (high - low) + low - mean) / std
        return xp.transpose(images, (0, 3, 1, 2)) if self.layout == "NCHW" else images


AS_IT_IS = Preparation()


@functools.cache
def _scaling(old: int, new: int) -> np.ndarray:
    """The matrix `[new, old]` of linear interpolation, smoothed where it makes smaller."""
    with jax.ensure_compile_time_eval():  # numbers, even where what asks for them is being traced
        return np.asarray(jax.image.resize(np.eye(old, dtype=np.float32), (new, old), "linear"))
