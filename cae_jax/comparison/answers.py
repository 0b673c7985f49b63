"""What methods answer: maps, counterfactuals, or both."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cae_jax.comparison.setting import Setting


class Counterfactuals(NamedTuple):
    """A counterfactual for each image.

    Attributes:
        images: `[N, height, width, channels]` in [0, 1].
        bases: what they were changed from: the images, or a method's reconstructions of them.
        shifts: `[N]`, how far along a path they lie, NaN where there is no path.
        diverse: `[N, M, height, width, channels]`, several for each image, or None.
    """

    images: np.ndarray
    bases: np.ndarray
    shifts: np.ndarray
    diverse: np.ndarray | None = None


Attribution = Callable[[Setting], np.ndarray]
"""A setting to maps `[N, height, width]`; the higher, the more relevant to the classifier's answer."""
Counterfactual = Callable[[Setting], Counterfactuals]
"""A setting to counterfactuals of its `targets`."""


def without_path(setting: Setting, images: np.ndarray) -> Counterfactuals:
    """The record of a method that changes the images themselves, without a path."""
    return Counterfactuals(np.asarray(images, np.float32), setting.images, np.full(len(images), np.nan))
