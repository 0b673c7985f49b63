"""Probes: simple models that are fitted to codes, to see how well they predict the class of held-out codes.

A function named `..._accuracy` returns the accuracy on the held-out codes, in [0, 1]. High accuracy is good for class
codes; for individual codes it is leakage: information on the class that is left in them. scikit-learn takes seconds to
import, so it is imported when the first probe is fitted.
"""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cae_jax.descent import descend
from cae_jax.parallel.batching import map_batches

Predict = Callable[[np.ndarray], np.ndarray]
"""A fitted probe: codes `[M, ...]` to classes `[M]`."""

MOST_BYTES = 64 * 2**20  # limit for the codes in one batch of the convolutional probe
MOST_CELLS = 16  # greatest side of what its dense layers see; larger feature maps are average-pooled to that before


def knn_predictions(codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray) -> np.ndarray:
    """Predicts classes `[M]` of held-out codes `[M, size]` by their 5 nearest neighbours (Euclidean distance).

    Args:
        codes: codes among which neighbours are sought, `[N, size]`.
        labels: their classes, `[N]`.
        held_out_codes: codes to predict the classes of, `[M, size]`.
    """
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(min(5, len(codes))).fit(codes, labels).predict(held_out_codes)


def knn_accuracy(
    codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray, held_out_labels: np.ndarray
) -> float:
    """Accuracy of `knn_predictions` on the held-out codes."""
    return float((knn_predictions(codes, labels, held_out_codes) == held_out_labels).mean())


def _one_class(labels: np.ndarray) -> Predict | None:
    """A probe that always answers the only class there is; None if the labels have several classes."""
    return (lambda codes: np.full(len(codes), labels[0])) if (labels == labels[0]).all() else None


def fit_linear_probe(codes: np.ndarray, labels: np.ndarray) -> Predict:
    """Fits logistic regression to standardised codes `[N, ...]`, flattened, and labels `[N]`.

    Where a code has more numbers than there are codes, the regression is fitted to the codes' coordinates in the
    subspace that they span. The predictions are the same, since the L2 penalty leaves no weights outside of it; and
    memory grows with the number of codes, not with the number of classes times the size of a code.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if constant := _one_class(labels):
        return constant
    regression = LogisticRegression(C=0.1, max_iter=300)
    flat = codes.reshape(len(codes), -1)
    if flat.shape[1] <= len(flat):
        model = make_pipeline(StandardScaler(), regression).fit(flat, labels)
        return lambda held_out: np.asarray(model.predict(held_out.reshape(len(held_out), -1)))
    products = functools.partial(_products, others=flat, moments=_moments(flat))
    squares, axes = np.linalg.eigh(products(flat))
    there = squares > squares[-1] * len(flat) * np.finfo(np.float32).eps
    axes = axes[:, there] / np.sqrt(squares[there])
    regression.fit(products(flat) @ axes, labels)
    return lambda held_out: np.asarray(regression.predict(products(held_out.reshape(len(held_out), -1)) @ axes))


def _blocks(size: int) -> list[slice]:
    return [slice(start, start + 4096) for start in range(0, size, 4096)]


def _moments(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every column of codes `[N, D]`; a variance of 0 is returned as 1."""
    blocks = _blocks(codes.shape[1])
    means = [codes[:, block].mean(0, dtype=np.float64) for block in blocks]
    variances = np.concatenate([codes[:, block].var(0, dtype=np.float64) for block in blocks])
    return np.concatenate(means), np.where(variances > 0, variances, 1.0)


def _products(codes: np.ndarray, others: np.ndarray, moments: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Dot products `[M, N]` of standardised codes and standardised others, computed in blocks to save memory."""
    mean, variance = moments
    total = np.zeros((len(codes), len(others)))
    for block in _blocks(len(mean)):
        weights = (codes[:, block] - mean[block]) / variance[block]
        total += weights.astype(np.float32) @ others[:, block].T - (weights @ mean[block])[:, None]
    return total


def linear_probe_accuracy(
    codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray, held_out_labels: np.ndarray
) -> float:
    """Accuracy of `fit_linear_probe` on the held-out codes."""
    return float((fit_linear_probe(codes, labels)(held_out_codes) == held_out_labels).mean())


def mlp_probe_accuracy(
    codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray, held_out_labels: np.ndarray, *, seed: int
) -> float:
    """Accuracy of a multilayer perceptron on the held-out codes.

    It has one hidden layer of 64 units and is fitted to standardised codes `[N, size]`, with `seed` as the seed of its
    training.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=60, random_state=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the probe is defined by 60 passes
        model.fit(codes, labels)
    return float(model.score(held_out_codes, held_out_labels))


class _Probe(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, codes: jax.Array) -> jax.Array:
        h = nn.relu(nn.Conv(64, (3, 3))(codes))
        h = nn.relu(nn.Conv(64, (3, 3))(h))
        window = tuple(-(-side // MOST_CELLS) for side in h.shape[1:3])
        h = nn.avg_pool(h, window, window, "SAME", count_include_pad=False) if max(window) > 1 else h
        h = nn.relu(nn.Dense(128)(h.reshape(h.shape[0], -1)))
        return nn.Dense(self.num_classes)(h)


def fit_convolutional_probe(codes: np.ndarray, labels: np.ndarray, *, seed: int, steps: int = 400) -> Predict:
    """Fits a small convolutional network to feature maps `[N, h, w, channels]`, standardised by channel.

    Args:
        codes: feature maps.
        labels: their classes, `[N]`.
        seed: seed of the initial parameters and of the batches.
        steps: number of training steps.
    """
    batch = max(min(128, MOST_BYTES // codes[0].nbytes), 1)
    mean, deviation = codes.mean((0, 1, 2)), codes.std((0, 1, 2)) + 1e-6
    standard = lambda rows: ((rows - mean) / deviation).astype(np.float32)  # noqa: E731
    probe = _Probe(int(labels.max()) + 1)
    params = probe.init(jax.random.key(seed), jnp.asarray(standard(codes[:1])))
    optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, steps), weight_decay=1e-2)

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        logits: Any = probe.apply(params, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    rng = np.random.default_rng(seed)
    drawn = (rng.integers(len(codes), size=batch) for _ in range(steps))
    batches = ((standard(codes[rows]), labels[rows]) for rows in drawn)
    params = descend(loss, optimizer, (params, optimizer.init(params)), batches)
    answer = jax.jit(lambda rows: probe.apply(params, rows).argmax(-1))
    return lambda held_out: map_batches(
        lambda rows: answer(standard(rows)), held_out, batch_size=min(batch, len(held_out))
    )


def convolutional_probe_accuracy(
    codes: np.ndarray,
    labels: np.ndarray,
    held_out_codes: np.ndarray,
    held_out_labels: np.ndarray,
    *,
    seed: int,
    steps: int = 400,
) -> float:
    """Accuracy of `fit_convolutional_probe` on the held-out codes."""
    predict = fit_convolutional_probe(codes, labels, seed=seed, steps=steps)
    return float((predict(held_out_codes) == held_out_labels).mean())
