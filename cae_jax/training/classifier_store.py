"""Classifiers on disk: trained once into a workdir, or read from the folder that a config names."""

import logging
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.progress import Progress

from cae_jax import classifiers
from cae_jax.data import Augment, Dataset
from cae_jax.training.checkpoints import MANIFEST, CheckpointError, load_tree, read_facts, save_trees
from cae_jax.training.config import Config, ConfigError
from cae_jax.training.functions import predicted_classes
from cae_jax.types import Predict

log = logging.getLogger(__name__)


class LoadedClassifier(NamedTuple):
    """A classifier and what is known of it.

    Attributes:
        predict: images in [0, 1] to probabilities.
        params: of its network.
        facts: `architecture`, `num_classes`, `image_shape`, `seed`, `accuracy` (on the test split), `data`.
    """

    predict: Predict
    params: Any
    facts: dict[str, Any]


def load_classifier(folder: pathlib.Path) -> LoadedClassifier:
    """Reads a classifier that `train_or_load` saved.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    facts = read_facts(folder)
    network = classifiers.make_classifier(facts["architecture"], facts["num_classes"])
    shape = (1, *facts["image_shape"])
    like = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape))["params"]
    params = load_tree(folder, "params", like)
    return LoadedClassifier(classifiers.make_predict(network, params), params, facts)


def _train(
    folder: pathlib.Path, settings: Config, dataset: Dataset, seed: int, augment: Augment, name: str, progress: Progress
) -> None:
    network = classifiers.make_classifier(settings.architecture, dataset.num_classes)
    task = progress.add_task(f"training the {name}", total=settings.steps)
    params = classifiers.fit_classifier(
        network,
        dataset.train,
        seed=seed,
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        augment=augment,
        report=lambda step, loss: progress.update(task, completed=step),
    )
    progress.update(task, completed=settings.steps)
    predictions = predicted_classes(classifiers.make_predict(network, params), dataset.test)
    facts = {
        "architecture": settings.architecture,
        "num_classes": dataset.num_classes,
        "image_shape": list(dataset.image_shape),
        "seed": seed,
        "accuracy": float(np.mean(predictions == dataset.test.labels)),
        "data": dataset.name,
    }
    save_trees(folder, {"params": params}, facts)


def train_or_load(
    folder: pathlib.Path, settings: Config, dataset: Dataset, seed: int, augment: Augment, name: str, progress: Progress
) -> LoadedClassifier:
    """Reads the classifier that a config names, or else the workdir's own, which is trained first if need be.

    Args:
        folder: of the workdir's own classifier.
        settings: the config's `classifier` or `oracle` part.
        dataset: to train on.
        seed: of its training.
        augment: changes training images at random.
        name: 'classifier' or 'oracle', for messages.
        progress: shows its training.

    Raises:
        ConfigError: if the named classifier was made for other images or classes.
    """
    if settings.path:
        folder = pathlib.Path(settings.path)
    elif not (folder / MANIFEST).exists():
        _train(folder, settings, dataset, seed, augment, name, progress)
    try:
        loaded = load_classifier(folder)
    except CheckpointError as error:
        if settings.path:
            raise
        log.warning("training the %s again: %s", name, error)
        _train(folder, settings, dataset, seed, augment, name, progress)
        loaded = load_classifier(folder)
    expected = [dataset.num_classes, list(dataset.image_shape)]
    if [loaded.facts["num_classes"], loaded.facts["image_shape"]] != expected:
        raise ConfigError(
            f"{name}.path {folder} is a classifier of {loaded.facts['num_classes']} classes and images "
            f"{loaded.facts['image_shape']}, but {dataset.name} has {expected[0]} classes and images {expected[1]}"
        )
    return loaded
