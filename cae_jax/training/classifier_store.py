"""Classifiers on disk: trained once into a workdir, or read from where a config says, and known again."""

import json
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from rich.progress import Progress

from cae_jax import classifiers
from cae_jax.classifiers import Identity
from cae_jax.data import SPLITS, Augment, Dataset
from cae_jax.images import to_unit
from cae_jax.processes import first_one_first
from cae_jax.training.checkpoints import (
    MANIFEST,
    CheckpointError,
    CheckpointStore,
    load_tree,
    read_facts,
    save_trees,
)
from cae_jax.training.config import Config, ConfigError
from cae_jax.training.files import DAMAGED, write_npz, write_whole
from cae_jax.training.functions import make_answer, predicted_classes
from cae_jax.training.settings import classifier_reference
from cae_jax.training.unfinished import Unfinished
from cae_jax.types import Predict

BATCH_SIZE = 128  # images a step of one that is trained here, where the config leaves it open
IDENTITY = "{}_identity.json"  # in a workdir, of its classifier and its oracle
log = logging.getLogger(__name__)


class LoadedClassifier(NamedTuple):
    """A classifier and what is known of it.

    Attributes:
        predict: images in [0, 1] to probabilities, not finite where it has no answer; of numpy arrays where it is not
            traceable.
        answer: the same, compiled where that can be, of images that are uint8 or in [0, 1].
        params: of its network; None if it was not trained here.
        facts: of one trained here, `architecture`, `num_classes`, `image_shape`, `seed`, `accuracy` (on the test
            split), `data`; of others, `path`; of a function that was handed in, nothing.
        traceable: whether JAX can trace and differentiate it.
        identity: what it is known again by.
        check: asks one that was not trained here about images, see `Foreign`; None of others.
    """

    predict: Predict
    answer: Callable[[Any], Any]
    params: Any
    facts: dict[str, Any]
    traceable: bool
    identity: Identity
    check: Callable[[np.ndarray, Sequence[str]], bool] | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its files, of how it is asked, and of its answers to a few fixed images."""
        return self.identity.fingerprint


def load_classifier(folder: pathlib.Path) -> LoadedClassifier:
    """Reads a classifier that `train_or_load` saved.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    facts = read_facts(folder)
    network = classifiers.make_classifier(facts["architecture"], facts["num_classes"])
    shape = (1, *facts["image_shape"])
    like = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape))["params"]
    return classifier_of(load_tree(folder, "params", like), facts)


def classifier_of(params: Any, facts: dict[str, Any]) -> LoadedClassifier:
    """A classifier that was trained here, from its parameters and facts."""
    network = classifiers.make_classifier(facts["architecture"], facts["num_classes"])
    predict = classifiers.make_predict(network, params)
    files = {"parameters": classifiers.array_digest(flatten_dict(params, sep="/"))}
    identity = Identity(files, {"architecture": facts["architecture"]}, [])
    return LoadedClassifier(predict, make_answer(predict, True), params, facts, True, identity)


def handed_in(function: Callable[[Any], Any], image_shape: tuple[int, int, int]) -> LoadedClassifier:
    """A classifier that is a function of images in [0, 1], numpy arrays; it is known by its answers alone."""
    own = classifiers.wrap_function(function)
    identity = Identity({}, {}, classifiers.ask(own.predict, image_shape))
    return LoadedClassifier(own.predict, make_answer(own.predict, False), None, {}, False, identity, own.check)


def load_named(
    settings: Config, own: pathlib.Path, name: str, image_shape: tuple[int, int, int] | None = None
) -> LoadedClassifier:
    """Reads the classifier that a config names, or else a workdir's own.

    Args:
        settings: the config's `classifier` or `oracle` part.
        own: folder of the workdir's own.
        name: of that part, for messages.
        image_shape: height, width, channels of the run's images; None where nobody knows yet.

    Raises:
        CheckpointError: if it was trained here and is missing or damaged.
        ConfigError: if it is of another framework and is missing or not what the config says.
    """
    if not settings.path:
        return load_classifier(own)
    if pathlib.Path(settings.path).is_dir():
        return load_classifier(pathlib.Path(settings.path))
    try:
        foreign = classifiers.load_foreign(classifier_reference(settings, name), image_shape)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    answer = make_answer(foreign.predict, foreign.traceable)
    facts = {"path": settings.path}
    return LoadedClassifier(foreign.predict, answer, None, facts, foreign.traceable, foreign.identity, foreign.check)


def kept_identity(workdir: pathlib.Path, name: str) -> Identity | None:
    """What a run's 'classifier' or 'oracle' was when the run began; None where the workdir does not say."""
    path = workdir / IDENTITY.format(name)
    try:
        return classifiers.read_identity(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except ValueError as error:
        log.warning("%s is damaged (%s): nobody can tell whether the %s is still the same", path, error, name)
        return None


def other_classifier(kept: Identity, now: Identity, name: str, path: str, where: pathlib.Path) -> str:
    """A sentence that says how a run's classifier differs from the one that it began with; '' if it does not."""
    found = classifiers.differences(kept, now)
    if not found:
        return ""
    text = f"the {name} {path} is not the one that {where} was made for: {'; '.join(found)}. Put that one back"
    if now.answers and classifiers.same_answers(kept, now):
        text += f" (its answers to {len(now.answers)} fixed images are the same; if you know that it is, delete "
        text += f"{where / IDENTITY.format(name)})"
    return text


def _known_again(loaded: LoadedClassifier, workdir: pathlib.Path, name: str, path: str) -> LoadedClassifier:
    """The same, under the identity that it had when the run began, which is noted while nothing is trained with it.

    Raises:
        ConfigError: if there are checkpoints that were trained with another one.
    """
    kept = kept_identity(workdir, name)
    if kept is not None:
        problem = other_classifier(kept, loaded.identity, name, path, workdir)
        if not problem:
            return loaded._replace(identity=kept)
        if CheckpointStore(workdir / "checkpoints").steps():
            raise ConfigError(f"{problem}, or train in another --workdir")
    write_whole(workdir / IDENTITY.format(name), json.dumps(loaded.identity._asdict(), indent=1))
    return loaded


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
    facts = {
        "architecture": settings.architecture,
        "num_classes": dataset.num_classes,
        "image_shape": list(dataset.image_shape),
        "seed": seed,
        "data": dataset.name,
    }
    recipe = {key: settings[key] for key in ("steps", "learning_rate")}
    recipe["batch_size"] = settings.batch_size or BATCH_SIZE
    with Unfinished(folder.parent, folder.name, facts | recipe) as unfinished:
        params = classifiers.fit_classifier(
            network,
            dataset.train,
            seed=seed,
            **recipe,
            augment=augment,
            report=lambda step, loss: progress.update(task, completed=step),
            resume=unfinished.resume,
            after=unfinished.after,
        )
    progress.update(task, completed=settings.steps)
    predictions = predicted_classes(make_answer(classifiers.make_predict(network, params), True), dataset.test)
    accuracy = float(np.mean(predictions == dataset.test.labels))
    save_trees(folder, {"params": params}, facts | {"accuracy": accuracy})


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
        ConfigError: if the named classifier is not what the config says, was made for other images or classes, or is
            another one than the run has been trained with.
    """
    if not settings.path and not (folder / MANIFEST).exists():
        _train(folder, settings, dataset, seed, augment, name, progress)
    try:
        loaded = load_named(settings, folder, name, dataset.image_shape)
    except CheckpointError as error:
        if settings.path:
            raise
        log.warning("training the %s again: %s", name, error)
        _train(folder, settings, dataset, seed, augment, name, progress)
        loaded = load_classifier(folder)
    path = settings.path or str(folder)
    _check_fit(loaded, dataset, name, path)
    return _known_again(loaded, folder.parent, name, path)


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
    counts = {split: len(dataset.split(split)) for split in SPLITS}
    key = f"{loaded.fingerprint} {dataset.name} {dataset.fingerprint} {list(counts.values())}"
    if cache.exists():
        try:
            with np.load(cache, allow_pickle=False) as kept:
                if str(kept["key"]) == key:
                    classes = {split: kept[split] for split in SPLITS}
                    if all(classes[split].shape == (counts[split],) for split in SPLITS):
                        return classes
        except DAMAGED as error:
            log.warning("%s is damaged (%s); the classifier is asked again", cache, error)
    classes = {split: predicted_classes(loaded.answer, dataset.split(split)) for split in SPLITS}
    write_npz(cache, key=np.asarray(key), **classes)
    return classes
