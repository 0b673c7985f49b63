"""Classifiers on disk: trained once into a workdir, or read from where a config says."""

import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.progress import Progress

from cae_jax import classifiers
from cae_jax.data import SPLITS, Augment, Dataset
from cae_jax.images import to_unit
from cae_jax.processes import first_one_first
from cae_jax.training.checkpoints import MANIFEST, CheckpointError, load_tree, read_facts, read_seal, save_trees
from cae_jax.training.config import Config, ConfigError
from cae_jax.training.files import write_npz
from cae_jax.training.functions import make_answer, predicted_classes
from cae_jax.training.settings import classifier_reference
from cae_jax.types import Predict

BATCH_SIZE = 128  # images a step of one that is trained here, where the config leaves it open
log = logging.getLogger(__name__)


class LoadedClassifier(NamedTuple):
    """A classifier and what is known of it.

    Attributes:
        predict: images in [0, 1] to probabilities, not finite where it has no answer; of numpy arrays where it is not
            traceable.
        answer: the same, compiled where that can be, of images that are uint8 or in [0, 1].
        params: of its network; None if it was not trained here.
        facts: of one trained here, `architecture`, `num_classes`, `image_shape`, `seed`, `accuracy` (on the test
            split), `data`; of others, `path`.
        traceable: whether JAX can trace and differentiate it.
        fingerprint: of its files.
        check: asks one that was not trained here about images, see `Foreign`; None of others.
    """

    predict: Predict
    answer: Callable[[Any], Any]
    params: Any
    facts: dict[str, Any]
    traceable: bool
    fingerprint: str
    check: Callable[[np.ndarray, Sequence[str]], bool] | None = None


def load_classifier(folder: pathlib.Path) -> LoadedClassifier:
    """Reads a classifier that `train_or_load` saved.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    facts = read_facts(folder)
    network = classifiers.make_classifier(facts["architecture"], facts["num_classes"])
    shape = (1, *facts["image_shape"])
    like = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape))["params"]
    return classifier_of(load_tree(folder, "params", like), facts, read_seal(folder))


def classifier_of(params: Any, facts: dict[str, Any], fingerprint: str) -> LoadedClassifier:
    """A classifier that was trained here, from its parameters and facts."""
    network = classifiers.make_classifier(facts["architecture"], facts["num_classes"])
    predict = classifiers.make_predict(network, params)
    return LoadedClassifier(predict, make_answer(predict, True), params, facts, True, fingerprint)


def load_named(settings: Config, own: pathlib.Path, name: str) -> LoadedClassifier:
    """Reads the classifier that a config names, or else a workdir's own.

    Args:
        settings: the config's `classifier` or `oracle` part.
        own: folder of the workdir's own.
        name: of that part, for messages.

    Raises:
        CheckpointError: if it was trained here and is missing or damaged.
        ConfigError: if it is of another framework and is missing or not what the config says.
    """
    if not settings.path:
        return load_classifier(own)
    if pathlib.Path(settings.path).is_dir():
        return load_classifier(pathlib.Path(settings.path))
    try:
        foreign = classifiers.load_foreign(classifier_reference(settings, name))
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    answer = make_answer(foreign.predict, foreign.traceable)
    facts = {"path": settings.path}
    return LoadedClassifier(foreign.predict, answer, None, facts, foreign.traceable, foreign.fingerprint, foreign.check)


def _check_fit(loaded: LoadedClassifier, dataset: Dataset, name: str, path: str) -> None:
    """Checks that a classifier is one of a data set's images and classes."""
    if loaded.check is not None:
        rows = np.unique(np.linspace(0, len(dataset.train) - 1, classifiers.ASKED).astype(int))
        try:
            loaded.check(np.asarray(to_unit(dataset.train.take(rows))), dataset.class_names)
        except classifiers.ClassifierError as error:
            raise ConfigError(f"{name}.path {path} cannot be asked about {dataset.name}: {error}") from error
        return
    expected = [dataset.num_classes, list(dataset.image_shape)]
    if [loaded.facts["num_classes"], loaded.facts["image_shape"]] != expected:
        raise ConfigError(
            f"{name}.path {path} is a classifier of {loaded.facts['num_classes']} classes and images "
            f"{loaded.facts['image_shape']}, but {dataset.name} has {expected[0]} classes and images {expected[1]}"
        )


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
        batch_size=settings.batch_size or BATCH_SIZE,
        learning_rate=settings.learning_rate,
        augment=augment,
        report=lambda step, loss: progress.update(task, completed=step),
    )
    progress.update(task, completed=settings.steps)
    predictions = predicted_classes(make_answer(classifiers.make_predict(network, params), True), dataset.test)
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
        ConfigError: if the named classifier is not what the config says, or was made for other images or classes.
    """
    if not settings.path and not (folder / MANIFEST).exists():
        _train(folder, settings, dataset, seed, augment, name, progress)
    try:
        loaded = load_named(settings, folder, name)
    except CheckpointError as error:
        if settings.path:
            raise
        log.warning("training the %s again: %s", name, error)
        _train(folder, settings, dataset, seed, augment, name, progress)
        loaded = load_classifier(folder)
    _check_fit(loaded, dataset, name, settings.path or str(folder))
    return loaded


def label_dataset(loaded: LoadedClassifier, dataset: Dataset, cache: pathlib.Path) -> dict[str, np.ndarray]:
    """A classifier's classes of all images, by split.

    Args:
        loaded: the classifier.
        dataset: the images.
        cache: where the answers of a classifier that JAX cannot trace, which may be slow, are kept.
    """
    if loaded.traceable:
        return {split: predicted_classes(loaded.answer, dataset.split(split), spread=True) for split in SPLITS}
    with first_one_first("answers"):
        return _kept_or_asked(loaded, dataset, cache)


def _kept_or_asked(loaded: LoadedClassifier, dataset: Dataset, cache: pathlib.Path) -> dict[str, np.ndarray]:
    counts = [len(dataset.split(split)) for split in SPLITS]
    key = f"{loaded.fingerprint} {dataset.name} {counts}"
    if cache.exists():
        with np.load(cache, allow_pickle=False) as kept:
            if str(kept["key"]) == key:
                return {split: kept[split] for split in SPLITS}
    classes = {split: predicted_classes(loaded.answer, dataset.split(split)) for split in SPLITS}
    write_npz(cache, key=np.asarray(key), **classes)
    return classes
