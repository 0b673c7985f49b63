"""Fits a classifier to an image source."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cae_jax.images import to_unit
from cae_jax.types import ImageSource


def _make_step(network: nn.Module, optimizer: optax.GradientTransformation, augment: Callable) -> Callable:
    def loss(params, images, labels, key):
        logits: Any = network.apply({"params": params}, images, train=True, rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    def step(params, state, images, labels, key):
        dropout_key, augment_key = jax.random.split(key)
        value, gradients = jax.value_and_grad(loss)(params, augment(augment_key, images), labels, dropout_key)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    return step


def _batches(rng: np.random.Generator, count: int, size: int) -> Iterator[np.ndarray]:
    """Row numbers of one batch after the other, through ever new orders of `count` rows."""
    order = np.empty(0, np.int64)
    while True:
        while len(order) < size:
            order = np.concatenate([order, rng.permutation(count)])
        rows, order = order[:size], order[size:]
        yield rows


def fit_classifier(
    network: nn.Module,
    source: ImageSource,
    *,
    seed: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    augment: Callable[[jax.Array, jax.Array], jax.Array],
    report: Callable[[int, float], None] = lambda step, loss: None,
    resume: Callable[[Any], tuple[int, Any]] = lambda new: (0, new),
    after: Callable[[int, Any], None] = lambda step, state: None,
) -> Any:
    """Trains a network with AdamW on a one-cycle schedule.

    Args:
        network: images in [0, 1] to logits, with a `train` argument.
        source: the training images and their labels.
        seed: of parameters, order, augmentation and dropout.
        steps: of the optimizer.
        batch_size: images a step.
        learning_rate: the peak.
        augment: `(key, images) -> images in [0, 1]`, see `data.make_augment`.
        report: called with the step and its loss every 25 steps.
        resume: from the state before the first step to the steps that are done, and the state after them.
        after: called with the number of steps done and the state after each.

    Returns:
        Parameters.
    """
    key = jax.random.key(seed)
    optimizer = optax.adamw(optax.cosine_onecycle_schedule(steps, learning_rate), weight_decay=1e-3)
    params = network.init(key, to_unit(jnp.asarray(source.take(np.arange(1)))))["params"]
    step = _make_step(network, optimizer, augment)
    done, (params, state) = resume((params, optimizer.init(params)))
    batches = _batches(np.random.default_rng(seed), len(source), batch_size)
    value = jnp.zeros(())
    for number, rows in enumerate(itertools.islice(batches, done, steps), done):
        inputs, before = (source.take(rows), source.labels[rows]), value
        params, state, value = step(params, state, *inputs, jax.random.fold_in(key, number))
        jax.block_until_ready(before)  # no more than one step is under way
        after(number + 1, (params, state))
        if number % 25 == 0:
            report(number, float(value))
    return params
