"""Attribution by Shapley values, with the optional library `shap`, which is imported when it is first used."""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from cae_jax.baselines.inputs import (
    Array,
    WhiteBox,
    check_known,
    check_positive,
    class_numbers,
    colour_image,
)
from cae_jax.images import unit_images
from cae_jax.parallel.batching import map_batches


def partition_shap(
    classifier: WhiteBox,
    images: Array,
    classes: Array,
    *,
    fill: Array | float = 0.0,
    evaluations: int = 1000,
    batch_size: int = 64,
) -> np.ndarray:
    """Partition SHAP: Owen values of the class's probability, for blocks that come from halving the image repeatedly.

    Lundberg & Lee 2017, "A Unified Approach to Interpreting Model Predictions", arXiv 1705.07874; computed by
    `shap.PartitionExplainer` with `shap.maskers.Image`. Once the evaluations are used up, a block's value is spread
    evenly over its pixels.

    Args:
        classifier: classifier to explain, with `predict`, which is called with numpy arrays.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        classes: class that is explained for each image, integers `[N]`.
        fill: what hides a block: a colour `[channels]`, a grey value, or an image `[height, width, channels]`; black by
            default.
        evaluations: limit of the classifier's evaluations for each image.
        batch_size: number of filled images in a call of the classifier.

    Returns:
        Signed maps `[N, height, width]` float32 in [-1, 1], up to rounding, summed over channels. A map's sum is the
        class's probability for the image minus that for the filled image.

    Raises:
        ValueError: for input of another shape or range, or classes that the classifier does not have.
        ImportError: without `shap`.
    """
    check_positive(evaluations=evaluations, batch_size=batch_size)
    unit = unit_images(images)
    numbers = class_numbers(classes, len(unit))
    paint = colour_image(fill, unit.shape[1:], "fill")

    def answers(filled: np.ndarray) -> np.ndarray:
        probabilities = map_batches(classifier.predict, filled, batch_size=batch_size)
        check_known(numbers, probabilities.shape)
        return probabilities

    shap = _import_shap()
    explainer = shap.PartitionExplainer(answers, shap.maskers.Image(paint))
    maps = []
    with _numpy_seed(0):  # shap breaks ties by numpy's global random numbers
        for row, number in enumerate(numbers):
            found: Any = explainer(
                unit[row : row + 1], max_evals=evaluations, batch_size=batch_size, outputs=[int(number)], silent=True
            )
            maps.append(found.values[0, ..., 0].sum(-1))
    return np.stack(maps).astype(np.float32)


def _import_shap() -> Any:
    try:
        return importlib.import_module("shap")
    except ModuleNotFoundError as error:
        raise ImportError("partition SHAP needs the shap library: pip install 'cae_jax[benchmark]'") from error


@contextlib.contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seeds numpy's global random state inside a `with` block, and restores it afterwards."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
