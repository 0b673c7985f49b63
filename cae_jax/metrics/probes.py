"""Probes: how well a simple model, fitted to codes, tells the class of held-out ones. All return accuracy in [0, 1].

High is good for class codes. For individual codes it is leakage: what of the class was left in them. scikit-learn takes
seconds to load, so that programs load it when the first probe is fitted.
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

MOST_BYTES = 64 * 2**20  # of codes that the convolutional probe is shown at once
MOST_CELLS = 16  # a side of what its dense layer sees; larger feature maps are averaged to that after two convolutions


def knn_predictions(codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray) -> np.ndarray:
    """What the 5 nearest neighbours (Euclidean) among `codes`, `[N, size]`, say of the held-out ones."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(min(5, len(codes))).fit(codes, labels).predict(held_out_codes)


def knn_accuracy(
    codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray, held_out_labels: np.ndarray
) -> float:
    """Accuracy of `knn_predictions`."""
    return float((knn_predictions(codes, labels, held_out_codes) == held_out_labels).mean())


def _one_class(labels: np.ndarray) -> Predict | None:
    """All that can be learned from labels of one class only."""
    return (lambda codes: np.full(len(codes), labels[0])) if (labels == labels[0]).all() else None


def fit_linear_probe(codes: np.ndarray, labels: np.ndarray) -> Predict:
    """Fits logistic regression to standardised codes, `[N, ...]` flattened.

    Where a code has more numbers than there are codes, the regression is of the codes' coordinates in the space that
    they span: its penalty, which is of the weights' length, leaves nothing outside, so that the answers are the same,
    and memory grows with the codes and not with the classes times their size.
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
    """Mean and variance of every number of codes `[N, D]`; 1 where it does not vary."""
    blocks = _blocks(codes.shape[1])
    means = [codes[:, block].mean(0, dtype=np.float64) for block in blocks]
    variances = np.concatenate([codes[:, block].var(0, dtype=np.float64) for block in blocks])
    return np.concatenate(means), np.where(variances > 0, variances, 1.0)


def _products(codes: np.ndarray, others: np.ndarray, moments: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Dot products `[M, N]` of codes with others, both standardised, without a copy of either as a whole."""
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
    """Accuracy of a network with a hidden layer of 64 on standardised codes, `[N, size]`, on the held-out ones."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=60, random_state=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 60 passes are the probe
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
    """Fits a small convolutional network to feature maps `[N, h, w, channels]`, standardised by channel."""
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
