"""Measures of counterfactual images: whether they flip the answer, are near to the exemplar, sparse, true and diverse.

Images are `[N, height, width, C]` in [0, 1], and every function returns one value an image, `[N]`. All raise ValueError
for shapes that do not go together.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax import similarity
from cae_jax.parallel.batching import map_batches
from cae_jax.types import Predict

BATCH = 128


def _check(images: np.ndarray, others: np.ndarray) -> None:
    if images.ndim != 4 or images.shape != others.shape:
        raise ValueError(f"images must both be [N, height, width, C], not {images.shape} and {others.shape}")


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64)


def validity(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether a classifier gives each counterfactual its target class; bool, higher is better.

    With the answers of the explained classifier this is the validity, with those of another classifier the oracle score
    (Hvilshøj et al. 2021). An answer that is not finite is of no class.

    Args:
        probabilities: the classifier's answers to the counterfactuals, `[N, K]`.
        targets: target classes, `[N]`.
    """
    if probabilities.ndim != 2 or np.shape(targets) != (len(probabilities),):
        raise ValueError(f"probabilities [N, K] do not go with targets {np.shape(targets)}: {probabilities.shape}")
    answered = np.isfinite(probabilities).all(-1)
    return answered & (probabilities.argmax(-1) == targets)


def l1_distance(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mean absolute difference of two images over pixels and channels, in [0, 1]; lower is nearer."""
    _check(images, others)
    return np.abs(_flat(images) - _flat(others)).mean(-1)


def l2_distance(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Root mean squared difference of two images over pixels and channels, in [0, 1]; lower is nearer."""
    _check(images, others)
    return np.sqrt(np.square(_flat(images) - _flat(others)).mean(-1))


_ssim = jax.jit(similarity.structural_similarity)


def structural_similarity(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Structural similarity of two images, see `similarity.structural_similarity`; 1 for equal ones."""
    _check(images, others)
    return map_batches(_ssim, images.astype(np.float32), others.astype(np.float32), batch_size=min(BATCH, len(images)))


def sparsity(images: np.ndarray, others: np.ndarray, threshold: float) -> np.ndarray:
    """Share of the pixels that differ by more than `threshold` in any channel, in [0, 1]; lower is sparser."""
    _check(images, others)
    return (np.abs(images.astype(np.float64) - others) > threshold).any(-1).mean((1, 2))


def distance_to_truth(counterfactuals: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """`l1_distance` of each counterfactual to the nearest of G true ones; lower is better.

    Args:
        counterfactuals: `[N, height, width, C]`.
        truths: true counterfactuals of each image, `[N, G, height, width, C]`.
    """
    if truths.ndim != 5 or truths.shape[1] == 0 or truths[:, 0].shape != counterfactuals.shape:
        raise ValueError(f"truths must be [N, G, height, width, C], not {truths.shape} for {counterfactuals.shape}")
    return np.min([l1_distance(counterfactuals, truths[:, grade]) for grade in range(truths.shape[1])], axis=0)


def diversity(counterfactuals: np.ndarray) -> np.ndarray:
    """Mean pairwise `l1_distance` of the M counterfactuals `[N, M, height, width, C]` of an image; higher is better.

    An image of NaN stands for a missing counterfactual; with fewer than two counterfactuals the result is NaN.
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

    The exemplar's pixels are replaced step by step by the counterfactual's, in descending order of their difference.
    The score is the area under the curve of the target's probability minus that of the original class's: it is high
    where few pixels carry the whole change.

    Args:
        predict: function from images to probabilities.
        images: exemplars.
        counterfactuals: one counterfactual for each exemplar.
        classes: original classes, `[N]`.
        targets: target classes, `[N]`.
        steps: number of steps in which all pixels are replaced.
    """
    _check(images, counterfactuals)
    images, counterfactuals = (np.asarray(x, np.float32) for x in (images, counterfactuals))
    change = np.abs(images - counterfactuals).sum(-1)
    order = np.argsort(-change.reshape(len(images), -1), axis=-1, kind="stable")
    ranks = np.argsort(order, axis=-1).reshape(change.shape).astype(np.int32)
    limits = np.round(np.linspace(0, ranks[0].size, steps + 1)).astype(np.int32)

    def exchange(images: np.ndarray, others: np.ndarray, ranks: np.ndarray, which: np.ndarray) -> np.ndarray:
        answers = (np.asarray(predict(_mixed(limit, images, others, ranks))) for limit in limits)
        return np.stack([np.take_along_axis(answer, which, axis=-1) for answer in answers], axis=1)

    curves = map_batches(
        exchange,
        images,
        counterfactuals,
        ranks,
        np.stack([classes, targets], axis=1).astype(np.int32),
        batch_size=min(BATCH, len(images)),
    )
    original, target = np.trapezoid(curves, dx=1.0 / steps, axis=1).T
    return target - original


@jax.jit
def _mixed(limit: jax.Array, images: jax.Array, counterfactuals: jax.Array, ranks: jax.Array) -> jax.Array:
    return jnp.where((ranks < limit)[..., None], counterfactuals, images)
