"""Is what a map calls relevant what the classifier looks at? Pixels are removed by rank, and its answer is watched."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.metrics.fills import Fill, noisy_linear_imputation
from cae_jax.parallel.batching import map_batches
from cae_jax.types import Predict

BATCH = 128  # images a call


def _check(images: np.ndarray, classes: np.ndarray, saliency: np.ndarray) -> None:
    if images.ndim != 4 or saliency.shape != images.shape[:3] or np.shape(classes) != (len(images),):
        raise ValueError(
            f"images [N, height, width, C], classes [N] and saliency [N, height, width] must go together, "
            f"not {images.shape}, {np.shape(classes)} and {saliency.shape}"
        )
    if not np.isfinite(saliency).all():
        raise ValueError(f"saliency of image {int(np.argmin(np.isfinite(saliency).all((1, 2))))} is not finite")


def rank_cells(saliency: np.ndarray, patch: int, seed: int) -> np.ndarray:
    """The places of cells of `patch` × `patch` pixels in the order of their mean saliency; 0 is the highest.

    Cells at the far edges may be smaller. Equal ones come in random order, so that a constant map is a random order.

    Args:
        saliency: `[N, height, width]`.
        patch: side of a cell.
        seed: of the order of equal ones.

    Returns:
        `[N, rows, columns]` of whole numbers.
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
    """The probability of a class while cells of pixels are removed, or put back, in the order of a map.

    Args:
        predict: images to probabilities.
        images: `[N, height, width, C]` in [0, 1].
        classes: `[N]`, whose probability is watched.
        saliency: `[N, height, width]`, higher is more relevant.
        patch: side of a cell in pixels.
        steps: in which all cells are removed, in shares as equal as whole numbers allow.
        fill: what replaces them.
        order: 'morf', the most relevant first, or 'lerf', the least.
        mode: 'delete' begins with the whole image, 'insert' with nothing of it.
        seed: of the order of equal cells, and of the fill's noise.

    Returns:
        `[N, steps + 1]` in [0, 1]; for 'delete', step 0 is the untouched image and the last has nothing left of it,
        for 'insert' the other way round.

    Raises:
        ValueError: if shapes do not go together, or a map is not finite.
    """
    images, saliency = np.asarray(images, np.float32), np.asarray(saliency)
    _check(images, classes, saliency)
    if order not in ("morf", "lerf") or mode not in ("delete", "insert"):
        raise ValueError(f"order is 'morf' or 'lerf' and mode 'delete' or 'insert', not {order!r} and {mode!r}")
    ranks = rank_cells(saliency if order == "morf" else -saliency, patch, seed)
    cells = ranks[0].size
    limits = np.round(np.linspace(0, cells, steps + 1)).astype(np.int32)
    watch = functools.partial(_watch, predict, fill, patch, mode == "insert")
    return map_batches(
        lambda *rows: watch(jnp.asarray(limits), jax.random.key(seed), *rows),
        images,
        np.asarray(classes, np.int32),
        ranks.astype(np.int32),
        batch_size=min(BATCH, len(images)),
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _watch(
    predict: Predict,
    fill: Fill,
    patch: int,
    insert: bool,
    limits: jax.Array,
    key: jax.Array,
    images: jax.Array,
    classes: jax.Array,
    ranks: jax.Array,
) -> jax.Array:
    height, width = images.shape[1:3]
    place = jnp.repeat(jnp.repeat(ranks, patch, axis=1), patch, axis=2)[:, :height, :width]

    def answer(limit: jax.Array) -> jax.Array:
        removed = place >= limit if insert else place < limit
        probabilities = predict(fill(images, removed, jax.random.fold_in(key, limit)))
        return jnp.take_along_axis(probabilities, classes[:, None], axis=-1)[:, 0]

    return jax.lax.map(answer, limits).T


def aopc(curves: np.ndarray) -> np.ndarray:
    """Area over the perturbation curve (Samek et al. 2017, arXiv 1509.06321), `[N]` in [-1, 1], higher is better.

    1 / (L + 1) · Σ_{k=0..L} (f(x_0) - f(x_k)), of curves `[N, L + 1]` in the order 'morf'.
    """
    return (curves[:, :1] - curves).mean(-1)


def area_between(morf: np.ndarray, lerf: np.ndarray) -> np.ndarray:
    """Mean of the curve 'lerf' minus the curve 'morf', `[N]` in [-1, 1], higher is better; a random order has 0.

    Of curves `[N, L + 1]`; after Samek et al. 2017, who compare orders so.
    """
    return (lerf - morf).mean(-1)


def area_under(curves: np.ndarray) -> np.ndarray:
    """Area under curves `[N, L + 1]` over the shares 0 to 1 by the trapezoidal rule, `[N]` in [0, 1].

    Of deletion curves, lower is better; of insertion curves, higher (Petsiuk et al. 2018, arXiv 1806.07421).
    """
    return np.trapezoid(curves, dx=1.0 / (curves.shape[1] - 1), axis=-1)


def probability_drop(curves: np.ndarray, share: float) -> np.ndarray:
    """How much the probability has dropped when a share of the cells is gone, `[N]` in [-1, 1], higher is better.

    Args:
        curves: `[N, L + 1]`, 'delete' and 'morf'.
        share: in [0, 1]; the nearest step is taken.
    """
    return curves[:, 0] - curves[:, round(share * (curves.shape[1] - 1))]


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
    """Remove and debias (Rong et al., ICML 2022, arXiv 2202.00449): is the class still predicted without its pixels?

    Args:
        predict: images to probabilities.
        images: `[N, height, width, C]` in [0, 1].
        classes: `[N]`, whose prediction counts.
        saliency: `[N, height, width]`; single pixels are removed, the most relevant first.
        shares: of pixels removed.
        noise: of the imputation.
        seed: of noise and of the order of equal pixels.

    Returns:
        `[N, len(shares)]` of 0 and 1; the mean over images is the accuracy, lower is better.

    Raises:
        ValueError: as `perturbation_curves`.
    """
    images, saliency = np.asarray(images, np.float32), np.asarray(saliency)
    _check(images, classes, saliency)
    ranks = rank_cells(saliency, 1, seed)
    limits = jnp.asarray(np.round(np.asarray(shares) * ranks[0].size).astype(np.int32))
    return map_batches(
        lambda *rows: _still_predicted(predict, _road_fill(noise), limits, jax.random.key(seed), *rows),
        images,
        np.asarray(classes, np.int32),
        ranks.astype(np.int32),
        batch_size=min(BATCH, len(images)),
    )


_road_fill = functools.cache(noisy_linear_imputation)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _still_predicted(
    predict: Predict,
    fill: Fill,
    limits: jax.Array,
    key: jax.Array,
    images: jax.Array,
    classes: jax.Array,
    ranks: jax.Array,
) -> jax.Array:
    def hits(limit: jax.Array) -> jax.Array:
        probabilities = predict(fill(images, ranks < limit, jax.random.fold_in(key, limit)))
        return (probabilities.argmax(-1) == classes).astype(jnp.float32)

    return jax.lax.map(hits, limits).T
