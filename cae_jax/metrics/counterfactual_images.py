"""What counterfactual images are worth: do they flip the answer, are they near, plausible and true?

Images are `[N, height, width, C]` in [0, 1]; what is returned is `[N]`, if nothing else is said.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.parallel.batching import map_batches
from cae_jax.types import Predict

BATCH = 128


def _check(images: np.ndarray, others: np.ndarray) -> None:
    if images.ndim != 4 or images.shape != others.shape:
        raise ValueError(f"images must both be [N, height, width, C], not {images.shape} and {others.shape}")


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64)


def validity(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether a classifier's answers `[N, K]` to counterfactuals are the targets `[N]`; bool, higher is better.

    By the classifier that is explained it is the validity, by another one the oracle score (Hvilshøj et al. 2021).
    """
    if probabilities.ndim != 2 or np.shape(targets) != (len(probabilities),):
        raise ValueError(f"probabilities [N, K] do not go with targets {np.shape(targets)}: {probabilities.shape}")
    return probabilities.argmax(-1) == targets


def l1_distance(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mean absolute difference over pixels and channels, in [0, 1], lower is nearer."""
    _check(images, others)
    return np.abs(_flat(images) - _flat(others)).mean(-1)


def l2_distance(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Root of the mean squared difference over pixels and channels, in [0, 1], lower is nearer."""
    _check(images, others)
    return np.sqrt(np.square(_flat(images) - _flat(others)).mean(-1))


def sparsity(images: np.ndarray, others: np.ndarray, threshold: float) -> np.ndarray:
    """The share of pixels of which any channel differs by more than `threshold`, in [0, 1], lower is sparser."""
    _check(images, others)
    return (np.abs(images.astype(np.float64) - others) > threshold).any(-1).mean((1, 2))


def distance_to_truth(counterfactuals: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """`l1_distance` to the nearest of several true counterfactuals `[N, G, height, width, C]`, lower is better."""
    if truths.ndim != 5 or truths.shape[1] == 0 or truths[:, 0].shape != counterfactuals.shape:
        raise ValueError(f"truths must be [N, G, height, width, C], not {truths.shape} for {counterfactuals.shape}")
    return np.min([l1_distance(counterfactuals, truths[:, grade]) for grade in range(truths.shape[1])], axis=0)


def diversity(counterfactuals: np.ndarray) -> np.ndarray:
    """Mean `l1_distance` between several counterfactuals `[N, M, height, width, C]` of an image; higher: more diverse.

    NaN images stand for counterfactuals that are not there; with fewer than two, an image has NaN.
    """
    if counterfactuals.ndim != 5:
        raise ValueError(f"counterfactuals must be [N, M, height, width, C], not {counterfactuals.shape}")
    many = counterfactuals.shape[1]
    pairs = [l1_distance(counterfactuals[:, a], counterfactuals[:, b]) for a in range(many) for b in range(a + 1, many)]
    if not pairs:
        return np.full(len(counterfactuals), np.nan)
    there = np.isfinite(pairs)
    total = np.where(there, pairs, 0.0).sum(0)
    return np.divide(total, there.sum(0), out=np.full(total.shape, np.nan), where=there.any(0))


def cout(
    predict: Predict,
    images: np.ndarray,
    counterfactuals: np.ndarray,
    classes: np.ndarray,
    targets: np.ndarray,
    *,
    steps: int = 50,
) -> np.ndarray:
    """Counterfactual transition score (Khorram & Fuxin, CVPR 2022, arXiv 2203.15064), in [-1, 1], higher is better.

    Pixels are exchanged for the counterfactual's, those that differ most first. The area under the curve of the
    target's probability, less that of the original class's: high where few pixels carry the whole change.

    Args:
        predict: images to probabilities.
        images: the exemplars.
        counterfactuals: of them.
        classes: `[N]`, the original classes.
        targets: `[N]`.
        steps: in which all pixels are exchanged.
    """
    _check(images, counterfactuals)
    images, counterfactuals = (np.asarray(x, np.float32) for x in (images, counterfactuals))
    change = np.abs(images - counterfactuals).sum(-1)
    order = np.argsort(-change.reshape(len(images), -1), axis=-1, kind="stable")
    ranks = np.argsort(order, axis=-1).reshape(change.shape).astype(np.int32)
    limits = jnp.asarray(np.round(np.linspace(0, ranks[0].size, steps + 1)).astype(np.int32))
    curves = map_batches(
        lambda *rows: _exchange(predict, limits, *rows),
        images,
        counterfactuals,
        ranks,
        np.stack([classes, targets], axis=1).astype(np.int32),
        batch_size=min(BATCH, len(images)),
    )
    original, target = np.trapezoid(curves, dx=1.0 / steps, axis=1).T
    return target - original


@functools.partial(jax.jit, static_argnums=0)
def _exchange(
    predict: Predict,
    limits: jax.Array,
    images: jax.Array,
    counterfactuals: jax.Array,
    ranks: jax.Array,
    which: jax.Array,
) -> jax.Array:
    def answer(limit: jax.Array) -> jax.Array:
        mixed = jnp.where((ranks < limit)[..., None], counterfactuals, images)
        return jnp.take_along_axis(predict(mixed), which, axis=-1)

    return jnp.swapaxes(jax.lax.map(answer, limits), 0, 1)
