"""Probes: how well a simple model, fitted to codes, tells the class of held-out ones. All return accuracy in [0, 1].

High is good for class codes. For individual codes it is leakage: what of the class was left in them. scikit-learn takes
seconds to load, so that programs load it when the first probe is fitted.
"""

import warnings
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax


def knn_accuracy(
    codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray, held_out_labels: np.ndarray
) -> float:
    """Accuracy of the 5 nearest neighbours (Euclidean) among `codes`, `[N, size]`, on the held-out ones."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(5, len(codes))).fit(codes, labels)
    return float(model.score(held_out_codes, held_out_labels))


def linear_probe_accuracy(
    codes: np.ndarray, labels: np.ndarray, held_out_codes: np.ndarray, held_out_labels: np.ndarray
) -> float:
    """Accuracy of logistic regression on standardised codes, `[N, ...]` flattened, on the held-out ones."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    model.fit(codes.reshape(len(codes), -1), labels)
    return float(model.score(held_out_codes.reshape(len(held_out_codes), -1), held_out_labels))


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
        h = nn.relu(nn.Dense(128)(h.reshape(h.shape[0], -1)))
        return nn.Dense(self.num_classes)(h)


def convolutional_probe_accuracy(
    codes: np.ndarray,
    labels: np.ndarray,
    held_out_codes: np.ndarray,
    held_out_labels: np.ndarray,
    *,
    seed: int,
    steps: int = 400,
) -> float:
    """Accuracy of a small convolutional network fitted to feature maps `[N, h, w, channels]`, on the held-out ones."""
    mean, deviation = codes.mean((0, 1, 2)), codes.std((0, 1, 2)) + 1e-6
    codes, held_out_codes = (codes - mean) / deviation, (held_out_codes - mean) / deviation
    probe = _Probe(int(max(labels.max(), held_out_labels.max())) + 1)
    params = probe.init(jax.random.key(seed), jnp.asarray(codes[:1]))
    optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, steps), weight_decay=1e-2)

    @jax.jit
    def step(params, state, x, y):
        def loss(p):
            logits: Any = probe.apply(p, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    rng = np.random.default_rng(seed)
    state = optimizer.init(params)
    for _ in range(steps):
        rows = rng.integers(len(codes), size=128)
        params, state = step(params, state, codes[rows], labels[rows])
    predictions = np.asarray(jax.jit(probe.apply)(params, held_out_codes)).argmax(-1)
    return float((predictions == held_out_labels).mean())
