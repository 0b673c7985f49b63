"""Attribution by hiding parts of the image and comparing the classifier's answers. No method here needs gradients."""

import jax
import jax.numpy as jnp
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
from cae_jax.types import Predict


def occlusion(
    classifier: WhiteBox,
    images: Array,
    classes: Array,
    *,
    patch: int = 4,
    stride: int = 2,
    fill: Array | float = 0.0,
    batch_size: int = 256,
) -> np.ndarray:
    """Occlusion: the class's drop in probability when a window is filled, averaged over all windows on a pixel.

    Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks", arXiv 1311.2901. All channels are
    filled together. If the last window of the regular grid does not reach the image's border, one is added that does.

    Args:
        classifier: classifier to explain, with `predict`.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        classes: class that is explained for each image, integers `[N]`.
        patch: side of the window in pixels.
        stride: distance between neighbouring windows in pixels, at most `patch`.
        fill: what the window is filled with: a colour `[channels]`, a grey value, or an image
            `[height, width, channels]`; black by default.
        batch_size: number of filled images in a call of the classifier.

    Returns:
        Maps `[N, height, width]` float32 in [-1, 1], positive where the image speaks for the class. They take memory of
        one byte for each pixel and window, besides the probabilities.

    Raises:
        ValueError: for input of another shape or range, classes that the classifier does not have, or windows that are
            larger than the image or leave gaps.
    """
    unit = unit_images(images)
    if not 1 <= stride <= patch <= min(unit.shape[1:3]):
        raise ValueError(
            f"stride must be from 1 to patch, and patch must fit into the image, {unit.shape[1]}x{unit.shape[2]}; "
            f"they are {stride} and {patch}"
        )
    hidden = _windows(unit.shape[1:3], patch, stride)
    masks = np.concatenate([np.ones_like(hidden[:1]), ~hidden])  # the first hides nothing
    answers = _masked_answers(classifier.predict, unit, classes, masks, fill, batch_size)
    drops = answers[:, :1] - answers[:, 1:]
    return np.tensordot(drops, hidden.astype(np.float32), 1) / hidden.sum(0, dtype=np.float32)


def rise(
    classifier: WhiteBox,
    images: Array,
    classes: Array,
    *,
    seed: int,
    masks: int = 2000,
    cells: int = 7,
    batch_size: int = 256,
) -> np.ndarray:
    """RISE: the mean of random masks, weighted by the class's probability under each, over the masks' expected value.

    Petsiuk et al. 2018, "RISE", arXiv 1806.07421, eq. 6. As in the paper, hidden pixels are black, and a cell of a mask
    is kept with probability 1/2. All images get the same masks, so that a map does not depend on the other images.

    Args:
        classifier: classifier to explain, with `predict`.
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        classes: class that is explained for each image, integers `[N]`.
        seed: seed of the masks.
        masks: number of masks.
        cells: number of a mask's cells along each side, before it is enlarged and shifted.
        batch_size: number of masked images in a call of the classifier.

    Returns:
        Maps `[N, height, width]` float32, >= 0: the class's expected probability given that the pixel is kept. For an
        irrelevant pixel this is the mean probability of masked images, not 0. They take memory of four bytes for each
        pixel and mask, besides the probabilities.

    Raises:
        ValueError: for input of another shape or range, or classes that the classifier does not have.
    """
    check_positive(masks=masks, cells=cells)
    unit = unit_images(images)
    drawn = random_masks(masks, unit.shape[1:3], cells, seed)
    answers = _masked_answers(classifier.predict, unit, classes, drawn, 0.0, batch_size)
    return np.tensordot(answers, drawn, 1) / np.float32(0.5 * masks)


def random_masks(count: int, size: tuple[int, int], cells: int, seed: int) -> np.ndarray:
    """Draws masks for RISE, `[count, height, width]` float32 in [0, 1], with an expected value of 1/2 everywhere.

    Grids of `cells` x `cells` random zeros and ones are upsampled bilinearly to one cell more than the image's size,
    and cropped at a random place.

    Args:
        count: number of masks.
        size: height and width of the image.
        cells: number of cells along each side.
        seed: seed of grids and crops.
    """
    rng = np.random.default_rng(seed)
    height, width = (-(-side // cells) for side in size)  # height and width of a cell in pixels
    grids = rng.integers(2, size=(count, cells, cells)).astype(np.float32)
    corners = rng.integers([height, width], size=(count, 2)).astype(np.int32)
    enlarged = ((cells + 1) * height, (cells + 1) * width)

    @jax.jit
    @jax.vmap
    def cut(grid: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(jax.image.resize(grid, enlarged, "bilinear"), corner, size)

    return map_batches(cut, grids, corners, batch_size=min(256, count))


def _windows(size: tuple[int, int], patch: int, stride: int) -> np.ndarray:
    """The pixels of each window as bool masks `[windows, height, width]`, row by row."""

    def lines(side: int) -> np.ndarray:
        starts = np.unique(np.append(np.arange(0, side - patch, stride), side - patch))[:, None]
        return (np.arange(side) >= starts) & (np.arange(side) < starts + patch)

    rows, columns = lines(size[0]), lines(size[1])
    return (rows[:, None, :, None] & columns[None, :, None, :]).reshape(-1, *size)


@jax.jit
def _blend(images: jax.Array, masks: jax.Array, fill: jax.Array) -> jax.Array:
    kept = masks.astype(jnp.float32)[..., None]
    return images * kept + fill[None] * (1.0 - kept)


def _masked_answers(
    predict: Predict, images: np.ndarray, classes: Array, masks: np.ndarray, fill: Array | float, batch_size: int
) -> np.ndarray:
    """The probability of each image's class `[N]` under each mask `[M, height, width]`: `[N, M]` float32."""
    check_positive(batch_size=batch_size)
    numbers = class_numbers(classes, len(images))
    paint = colour_image(fill, images.shape[1:], "fill")

    def answer(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        probabilities = np.asarray(predict(_blend(images[rows], masks[places], paint)), np.float32)
        check_known(numbers, probabilities.shape)
        return probabilities[np.arange(len(rows)), numbers[rows]]

    rows, places = (index.ravel() for index in np.indices((len(images), len(masks))))
    answers = map_batches(answer, rows, places, batch_size=min(batch_size, len(rows)))
    return answers.reshape(len(images), len(masks))
