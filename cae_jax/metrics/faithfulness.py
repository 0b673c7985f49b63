"""Faithfulness of saliency maps: how the classifier's answer changes when pixels are removed in the map's order."""

import functools
from collections.abc import Sequence

import jax
import numpy as np

from cae_jax.metrics.counterfactual_images import validity
from cae_jax.metrics.fills import Fill, noisy_linear_imputation, spread_cells
from cae_jax.parallel.batching import map_batches
from cae_jax.types import Predict

BATCH = 128  # images in a compiled call


def _check(images: np.ndarray, classes: np.ndarray, saliency: np.ndarray) -> None:
    if images.ndim != 4 or saliency.shape != images.shape[:3] or np.shape(classes) != (len(images),):
        raise ValueError(
            f"images [N, height, width, C], classes [N] and saliency [N, height, width] must go together, "
            f"not {images.shape}, {np.shape(classes)} and {saliency.shape}"
        )
    if not np.isfinite(saliency).all():
        raise ValueError(f"saliency of image {int(np.argmin(np.isfinite(saliency).all((1, 2))))} is not finite")


def rank_cells(saliency: np.ndarray, patch: int, seed: int) -> np.ndarray:
    """Ranks square cells of `patch` × `patch` pixels by their mean saliency; rank 0 is the highest.

    Cells at the bottom and right edges may be smaller. Ties are broken at random, so that a constant map gives a random
    order.

    Args:
        saliency: saliency maps, `[N, height, width]`.
        patch: side of a cell in pixels.
        seed: seed of the tie-breaking.

    Returns:
        Ranks of the cells, integers `[N, rows, columns]`.
    """
    count, height, width = saliency.shape
    rows, columns = -(-height // patch), -(-width // patch)
    padded = np.pad(saliency, ((0, 0), (0, rows * patch - height), (0, columns * patch - width)))
    shape = (count, rows, patch, columns, patch)
    present = np.pad(np.ones((height, width)), ((0, rows * patch - height), (0, columns * patch - width)))
    sizes = present.reshape(shape[1:]).sum((1, 3))
    means = (padded.reshape(shape).sum((2, 4), dtype=np.float64) / sizes).reshape(count, -1)
    chance = np.random.default_rng(seed).random(means.shape)
    order = np.lexsort((chance, -means), axis=-1)
    return np.argsort(order, axis=-1).reshape(count, rows, columns)


def perturbation_curves(
    predict: Predict,
    images: np.ndarray,
    classes: np.ndarray,
    saliency: np.ndarray,
    *,
    patch: int,
    steps: int,
    fill: Fill,
    order: str = "morf",
    mode: str = "delete",
    seed: int = 0,
) -> np.ndarray:
    """Curves of a class's probability while cells of pixels are removed from an image, or put back, in a map's order.

    Args:
        predict: function from images to probabilities `[batch, K]`; or to those of M classifiers, `[batch, M, K]`,
            for which images are filled once.
        images: `[N, height, width, C]` in [0, 1].
        classes: class of each image whose probability is followed, `[N]`.
        saliency: saliency maps, `[N, height, width]`; higher is more relevant.
        patch: side of a cell in pixels.
        steps: number of steps in which all cells are removed; each removes as nearly the same number as possible.
        fill: function that computes what replaces the removed pixels.
        order: 'morf' for the most relevant cells first, 'lerf' for the least relevant first.
        mode: 'delete' to start with the whole image and remove cells, 'insert' to start with none and put them back.
        seed: seed of the tie-breaking between cells, and of the fill's noise.

    Returns:
        Probabilities `[N, steps + 1]` in [0, 1]; of M classifiers, `[M, N, steps + 1]`. For 'delete', step 0 is the
        untouched image, and nothing is left of it at the last step; for 'insert' it is the other way round.

    Raises:
        ValueError: if shapes do not go together, a map is not finite, or `order` or `mode` does not exist.
    """
    images, saliency = np.asarray(images, np.float32), np.asarray(saliency)
    _check(images, classes, saliency)
    if order not in ("morf", "lerf") or mode not in ("delete", "insert"):
        raise ValueError(f"order is 'morf' or 'lerf' and mode 'delete' or 'insert', not {order!r} and {mode!r}")
    ranks = rank_cells(saliency if order == "morf" else -saliency, patch, seed)
    cells = ranks[0].size
    limits = np.round(np.linspace(0, cells, steps + 1)).astype(np.int32)
    key = jax.random.key(seed)

    def watch(images: np.ndarray, classes: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        filled = (_filled(fill, patch, mode == "insert", limit, key, images, ranks) for limit in limits)
        answers = (np.asarray(predict(images)) for images in filled)
        return np.stack([a[np.arange(len(a)), ..., classes] for a in answers], axis=-1)

    curves = map_batches(
        watch,
        images,
        np.asarray(classes, np.int32),
        ranks.astype(np.int32),
        batch_size=min(BATCH, len(images)),
    )
    return np.moveaxis(curves, 0, -2)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _filled(
    fill: Fill, patch: int, insert: bool, limit: jax.Array, key: jax.Array, images: jax.Array, ranks: jax.Array
) -> jax.Array:
    """The images without the first `limit` cells or, if `insert`, with nothing but them."""
    place = spread_cells(ranks, patch, *images.shape[1:3])
    return fill(images, place >= limit if insert else place < limit, jax.random.fold_in(key, limit))


def aopc(curves: np.ndarray) -> np.ndarray:
    """Area over the perturbation curve (Samek et al. 2017, arXiv 1509.06321), `[N]` in [-1, 1]; higher is better.

    It is 1 / (L + 1) · Σ_{k=0..L} (f(x_0) - f(x_k)).

    Args:
        curves: deletion curves in the order 'morf', `[N, L + 1]`.
    """
    return (curves[:, :1] - curves).mean(-1)


def area_between(morf: np.ndarray, lerf: np.ndarray) -> np.ndarray:
    """Mean distance of the curve 'lerf' above the curve 'morf', `[N]` in [-1, 1]; higher is better.

    Its expected value is 0 for a random order. The comparison of the two orders is that of Samek et al. 2017.

    Args:
        morf: curves with the most relevant cells first, `[N, L + 1]`.
        lerf: curves with the least relevant cells first, `[N, L + 1]`.
    """
    return (lerf - morf).mean(-1)


def area_under(curves: np.ndarray) -> np.ndarray:
    """Area under curves `[N, L + 1]` over the share of removed cells, by the trapezoidal rule; `[N]` in [0, 1].

    For deletion curves lower is better, for insertion curves higher (Petsiuk et al. 2018, arXiv 1806.07421).
    """
    return np.trapezoid(curves, dx=1.0 / (curves.shape[1] - 1), axis=-1)


def road(
    predict: Predict,
    images: np.ndarray,
    classes: np.ndarray,
    saliency: np.ndarray,
    *,
    shares: Sequence[float],
    noise: float = 0.01,
    seed: int = 0,
) -> np.ndarray:
    """ROAD, remove and debias (Rong et al., ICML 2022, arXiv 2202.00449).

    Removes the most relevant pixels, imputes them with `noisy_linear_imputation`, and checks whether the class is still
    predicted.

    Args:
        predict: function from images to probabilities.
        images: `[N, height, width, C]` in [0, 1].
        classes: class of each image that should be predicted, `[N]`.
        saliency: saliency maps, `[N, height, width]`; higher is more relevant.
        shares: shares of the pixels to remove, in [0, 1].
        noise: standard deviation of the imputation's noise.
        seed: seed of the noise and of the tie-breaking between pixels.

    Returns:
        Whether the class is still predicted, 0 or 1, `[N, len(shares)]`; the mean over images is the accuracy, lower is
        better.

    Raises:
        ValueError: if shapes do not go together, or a map is not finite.
    """
    images, saliency = np.asarray(images, np.float32), np.asarray(saliency)
    _check(images, classes, saliency)
    ranks = rank_cells(saliency, 1, seed)
    limits = np.round(np.asarray(shares) * ranks[0].size).astype(np.int32)
    key, fill = jax.random.key(seed), _road_fill(noise)

    def still_predicted(images: np.ndarray, classes: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        filled = (_filled(fill, 1, False, limit, key, images, ranks) for limit in limits)
        return np.stack([validity(np.asarray(predict(images)), classes) for images in filled], 1).astype(np.float32)

    return map_batches(
        still_predicted,
        images,
        np.asarray(classes, np.int32),
        ranks.astype(np.int32),
        batch_size=min(BATCH, len(images)),
    )


_road_fill = functools.cache(noisy_linear_imputation)
