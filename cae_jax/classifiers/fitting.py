"""Fits a classifier to an image source."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cae_jax.descent import descend
from cae_jax.images import to_unit
from cae_jax.types import ImageSource


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
        network: module from images in [0, 1] to logits, with a `train` argument.
        source: the training images and their labels.
        seed: seed of parameters, order, augmentation and dropout.
        steps: number of the optimizer's steps.
        batch_size: number of images a step.
        learning_rate: peak of the learning rate.
        augment: `(key, images) -> images in [0, 1]`, see `data.make_augment`.
        report: function that is called with the step and its loss every 25 steps.
        resume: function from the state before the first step to the steps that are done, and the state after them.
        after: function that is called with the number of steps done and the state after each.

    Returns:
        Parameters.
    """
    key = jax.random.key(seed)
    optimizer = optax.adamw(optax.cosine_onecycle_schedule(steps, learning_rate), weight_decay=1e-3)
    params = network.init(key, to_unit(jnp.asarray(source.take(np.arange(1)))))["params"]

    def loss(params: Any, images: jax.Array, labels: jax.Array, key: jax.Array) -> jax.Array:
        dropout, turn = jax.random.split(key)
        logits: Any = network.apply({"params": params}, augment(turn, images), train=True, rngs={"dropout": dropout})
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    done, start = resume((params, optimizer.init(params)))
    rows = itertools.islice(_batches(np.random.default_rng(seed), len(source), batch_size), done, steps)
    batches = ((source.take(r), source.labels[r], jax.random.fold_in(key, n)) for n, r in enumerate(rows, done))

    def look(taken: int, state: tuple[Any, Any], value: jax.Array) -> None:
        number = done + taken
        after(number + 1, state)
        if number % 25 == 0:
            report(number, float(value))

    return descend(loss, optimizer, start, batches, look)
