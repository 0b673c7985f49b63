"""Asks a classifier about any number of images as they are stored, uint8 or in [0, 1]."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cae_jax import images as image_ranges
from cae_jax.classifiers.answers import classes_of
from cae_jax.parallel.batching import map_batches
from cae_jax.parallel.sharding import split_over_devices
from cae_jax.types import ImageSource


def make_answer(predict: Callable[[Any], Any], traceable: bool) -> Callable[[Any], Any]:
    """Makes a classifier ready for images that are uint8 or in [0, 1]: compiled, or called with numpy arrays."""
    if traceable:
        compiled = jax.jit(lambda images: predict(image_ranges.to_unit(images)))
        return lambda images: compiled(split_over_devices(images))
    return lambda images: predict(np.asarray(image_ranges.to_unit(images)))


def predicted_classes(answer: Callable[[Any], Any], source: ImageSource, spread: bool = False) -> np.ndarray:
    """The classes that a classifier gives to all images of a source, `[N]` int32; -1 where it has no finite answer.

    For `spread` see `map_batches`.
    """
    rows = np.arange(len(source))
    return map_batches(lambda batch: classes_of(np.asarray(answer(source.take(batch)))), rows, spread=spread)
