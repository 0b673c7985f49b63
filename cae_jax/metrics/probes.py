"""Probes: simple models that are fitted to codes, to see how well they predict the class of held-out codes.

A function named `..._accuracy` returns the accuracy on the held-out codes, in [0, 1]. High accuracy is good for class
codes; for individual codes it is leakage: information on the class that is left in them. scikit-learn takes seconds to
import, so it is imported when the first probe is fitted.
"""

import functools
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

NEIGHBOURS = 5  # that vote
MOST_BYTES = 64 * 2**20  # limit for the codes in one batch of a network
MOST_STEPS, EPOCHS = 400, 40  # of fitting a network: it sees no code oftener on average, where there are few
MOST_CELLS = 16  # greatest side of its feature maps; the first convolution has strides where codes are larger


def knn_predictions(codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray) -> np.ndarray:
    """Predicts classes `[M]` of held-out codes `[M, size]` by their nearest neighbours (Euclidean distance).

    There are 5, or as few as the rarest class can outvote: else no code would ever be said to be of that class.

    Args:
        codes: codes among which neighbours are sought, `[N, size]`.
        labels: their classes, `[N]`; negative where there is none.
        held_out_codes: codes to predict the classes of, `[M, size]`.
    """
    from sklearn.neighbors import KNeighborsClassifier

    rarest = int(np.unique(labels[labels >= 0], return_counts=True)[1].min(initial=NEIGHBOURS))
    neighbours = min(NEIGHBOURS, 2 * rarest - 1, len(codes))
    return KNeighborsClassifier(neighbours).fit(codes, labels).predict(held_out_codes)


def knn_accuracy(
    codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray, held_out_labels: np.ndarray
) -> float:
    """Accuracy of `knn_predictions` on the held-out codes."""
    return float((knn_predictions(codes, labels, held_out_codes) == held_out_labels).mean())


def _one_class(labels: np.ndarray) -> Predict | None:
    """A probe that always answers the only class there is; None if the labels have several classes."""
    return (lambda codes: np.full(len(codes), labels[0])) if (labels == labels[0]).all() else None


def fit_standard(codes: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Standardises codes `[N, ...]`, flattened, each number by itself, for probes that see them as rows of numbers.

    Where a code has more numbers than there are codes, rows are the codes' coordinates in the subspace that they span.
    Distances between codes are the same there, and so is what a penalised linear model learns, which leaves no weights
    outside of it; and memory grows with the number of codes, not with the size of a code.

    Returns:
        Rows of these codes, `[N, at most N]`, and the function from codes `[M, ...]` to their rows.
    """
    from sklearn.preprocessing import StandardScaler

    flat = codes.reshape(len(codes), -1)
    if flat.shape[1] <= len(flat):
        scaler = StandardScaler().fit(flat)
        standard = lambda others: np.asarray(scaler.transform(others.reshape(len(others), -1)))  # noqa: E731
        return standard(flat), standard
    products = functools.partial(_products, others=flat, moments=_moments(flat))
    among = products(flat)
    squares, axes = np.linalg.eigh(among)
    least = max(squares[-1] * len(flat) * np.finfo(np.float32).eps, np.finfo(np.float32).tiny)
    there = slice(min(np.searchsorted(squares, least), len(flat) - 1), None)  # one axis where all codes are the same
    axes = axes[:, there] / np.sqrt(np.maximum(squares[there], least))
    return among @ axes, lambda others: products(others.reshape(len(others), -1)) @ axes


def _blocks(size: int) -> list[slice]:
    return [slice(start, start + 4096) for start in range(0, size, 4096)]


def _moments(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every column of codes `[N, D]`; a variance of 0, but for rounding, is returned as 1."""
    blocks = _blocks(codes.shape[1])
    means = [codes[:, block].mean(0, dtype=np.float64) for block in blocks]
    variances = np.concatenate([codes[:, block].var(0, dtype=np.float64) for block in blocks])
    mean = np.concatenate(means)
    rounding = np.square(len(codes) * np.finfo(np.float64).eps * mean)
    return mean, np.where(variances > rounding, variances, 1.0)


def _products(codes: np.ndarray, others: np.ndarray, moments: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Dot products `[M, N]` of standardised codes and standardised others, computed in blocks to save memory."""
    mean, variance = moments
    total = np.zeros((len(codes), len(others)))
    for block in _blocks(len(mean)):
        weights = (codes[:, block] - mean[block]) / variance[block]
        total += weights.astype(np.float32) @ others[:, block].T - (weights @ mean[block])[:, None]
    return total


def fit_linear_probe(rows: np.ndarray, labels: np.ndarray) -> Predict:
    """Fits logistic regression to rows of `fit_standard`, `[N, D]`, and labels `[N]`."""
    from sklearn.linear_model import LogisticRegression

    return _one_class(labels) or LogisticRegression(C=0.1, max_iter=300).fit(rows, labels).predict


def fit_svm_probe(rows: np.ndarray, labels: np.ndarray) -> Predict:
    """Fits a support vector machine with a Gaussian kernel to rows of `fit_standard`, `[N, D]`, and labels `[N]`.

    Its kernel is a matrix `[N, N]`, computed once. The kernel's width follows the codes' total variance, the number of
    their numbers that vary.
    """
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.svm import SVC

    if constant := _one_class(labels):
        return constant
    variance = rows.var(0).sum()
    kernel = functools.partial(rbf_kernel, Y=rows, gamma=2.0 / variance if variance else 1.0)
    machine = SVC(C=3.0, kernel="precomputed").fit(kernel(rows), labels)
    return lambda held_out: machine.predict(kernel(held_out))


def linear_probe_accuracy(
    codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray, held_out_labels: np.ndarray
) -> float:
    """Accuracy of `fit_linear_probe` on the held-out codes, standardised as `codes` are."""
    rows, standard = fit_standard(codes)
    return float((fit_linear_probe(rows, labels)(standard(held_out_codes)) == held_out_labels).mean())


def mlp_probe_accuracy(
    codes: np.ndarray,
    labels: np.ndarray,
    held_out_codes: np.ndarray,
    held_out_labels: np.ndarray,
    *,
    seed: int,
    steps: int | None = None,
) -> float:
    """Accuracy of `fit_mlp_probe` on the held-out codes, standardised as `codes` are."""
    rows, standard = fit_standard(codes)
    predict = fit_mlp_probe(rows, labels, seed=seed, steps=steps)
    return float((predict(standard(held_out_codes)) == held_out_labels).mean())


def _fit_network(
    network: nn.Module,
    codes: np.ndarray,
    labels: np.ndarray,
    standard: Predict,
    rate: float,
    seed: int,
    steps: int | None,
) -> Predict:
    """Fits a network from standardised codes to logits, by `rate` as the greatest learning rate."""
    batch = max(min(128, MOST_BYTES // codes[0].nbytes), 1)
    steps = steps or min(MOST_STEPS, -(-EPOCHS * len(codes) // batch))
    params = network.init(jax.random.key(seed), jnp.asarray(standard(codes[:1])))
    optimizer = optax.adamw(optax.cosine_decay_schedule(rate, steps), weight_decay=1e-2)

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        logits: Any = network.apply(params, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    rng = np.random.default_rng(seed)
    drawn = (rng.integers(len(codes), size=batch) for _ in range(steps))
    batches = ((standard(codes[rows]), labels[rows]) for rows in drawn)
    params = descend(loss, optimizer, (params, optimizer.init(params)), batches)
    answer = jax.jit(lambda rows: network.apply(params, rows).argmax(-1))
    return lambda held_out: map_batches(
        lambda rows: answer(standard(rows)), held_out, batch_size=min(batch, len(held_out))
    )


def fit_mlp_probe(rows: np.ndarray, labels: np.ndarray, *, seed: int, steps: int | None = None) -> Predict:
    """Fits a network with one hidden layer of 256 units to rows of `fit_standard`.

    Args:
        rows: rows of numbers, `[N, D]`.
        labels: their classes, `[N]`.
        seed: seed of the initial parameters and of the batches.
        steps: number of training steps; None for as many as show each code `EPOCHS` times, `MOST_STEPS` at most.
    """
    network = nn.Sequential([nn.Dense(256), nn.relu, nn.Dense(int(labels.max()) + 1)])
    return _fit_network(network, rows, labels, lambda rows: rows.astype(np.float32), 5e-3, seed, steps)


class _Convolutional(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, codes: jax.Array) -> jax.Array:
        strides = [-(-side // MOST_CELLS) for side in codes.shape[1:3]]
        h = nn.relu(nn.Conv(64, [stride + 2 for stride in strides], strides)(codes))
        h = nn.relu(nn.Conv(64, (3, 3))(h))
        h = nn.relu(nn.Dense(128)(h.reshape(h.shape[0], -1)))
        return nn.Dense(self.num_classes)(h)


def fit_convolutional_probe(codes: np.ndarray, labels: np.ndarray, *, seed: int, steps: int | None = None) -> Predict:
    """Fits a small convolutional network to feature maps `[N, h, w, channels]`, standardised by channel.

    Args:
        codes: feature maps.
        labels: their classes, `[N]`.
        seed: seed of the initial parameters and of the batches.
        steps: number of training steps; None for as many as show each code `EPOCHS` times, `MOST_STEPS` at most.
    """
    mean, deviation = codes.mean((0, 1, 2)), codes.std((0, 1, 2)) + 1e-6
    standard = lambda rows: ((rows - mean) / deviation).astype(np.float32)  # noqa: E731
    return _fit_network(_Convolutional(int(labels.max()) + 1), codes, labels, standard, 2e-3, seed, steps)
