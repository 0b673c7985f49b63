"""Classifier and oracle of a run: loads or trains them, checks that they are still the same, and gets their labels."""

import json
import logging
import pathlib

import numpy as np

from cae_jax import classifiers
from cae_jax.classifiers import classes_of, make_answer, predicted_classes
from cae_jax.config.reading import Config, ConfigError
from cae_jax.data import SPLITS, Augment, Dataset
from cae_jax.images import to_unit
from cae_jax.parallel.processes import first_one_first
from cae_jax.progress import WorkProgress
from cae_jax.training.unfinished import Unfinished
from cae_jax.types import HostClassifier, ImageSource
from cae_jax.workdir.checkpoints import MANIFEST, CheckpointError, CheckpointStore, save_trees
from cae_jax.workdir.classifier_store import (
    HANDED_IN,
    IDENTITY,
    LoadedClassifier,
    handed_in,
    kept_identity,
    load_classifier,
    load_named,
    other_classifier,
)
from cae_jax.workdir.files import write_npz, write_whole
from cae_jax.workdir.kept import read_kept

ANSWERS = "classifier_answers.npz"  # in a workdir, the classes that a black box gives all images
UNSURE = 0.1  # difference of the top two probabilities, below which rounding may decide which class is given
BATCH_SIZE = 128  # images in a training step, where the config does not say
log = logging.getLogger(__name__)


def _known_again(loaded: LoadedClassifier, workdir: pathlib.Path, name: str, path: str) -> LoadedClassifier:
    """Returns a loaded classifier under the identity that was recorded when the run began, if it is the same one.

    Where no identity was recorded, or that of another classifier but there is no checkpoint yet, its own is recorded.

    Raises:
        ConfigError: if there are checkpoints that were trained with another classifier.
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


def _some_rows(source: ImageSource) -> np.ndarray:
    """Positions of a few images, spread over a split."""
    return np.unique(np.linspace(0, len(source) - 1, classifiers.ASKED).astype(int))


def _check_fit(loaded: LoadedClassifier, dataset: Dataset, name: str, path: str) -> None:
    """Checks that a classifier takes a data set's images and has its classes.

    Raises:
        ConfigError: if not.
    """
    if loaded.check is not None:
        try:
            loaded.check(np.asarray(to_unit(dataset.train.take(_some_rows(dataset.train)))), dataset.class_names)
        except classifiers.ClassifierError as error:
            raise ConfigError(f"{name}.path {path} cannot be asked about {dataset.name}: {error}") from error
        return
    expected = [dataset.num_classes, list(dataset.image_shape)]
    if [loaded.facts["num_classes"], loaded.facts["image_shape"]] != expected:
        raise ConfigError(
            f"{name}.path {path} is a classifier of {loaded.facts['num_classes']} classes and images "
            f"{loaded.facts['image_shape']}, but {dataset.name} has {expected[0]} classes and images {expected[1]}"
        )
    known, names = loaded.facts.get("class_names", dataset.class_names), dataset.class_names
    if sorted(known) == sorted(names) and tuple(known) != names:
        raise ConfigError(
            f"{name}.path {path} has the classes in the order {', '.join(known)}, but {dataset.name} in the order "
            f"{', '.join(names)}; data.classes = {tuple(known)} gives them that of the {name}"
        )
    if sorted(known) != sorted(names):
        log.warning(
            "%s.path %s was trained on the classes %s, which are taken for %s in this order", name, path, known, names
        )


def _train(
    folder: pathlib.Path, settings: Config, dataset: Dataset, seed: int, augment: Augment, progress: WorkProgress
) -> None:
    network = classifiers.make_classifier(settings.architecture, dataset.num_classes)
    what = {"oracle": "the oracle, a classifier that only scores"}.get(folder.name, f"the {folder.name}")
    task = progress.add_task(f"training {what}", total=settings.steps)
    facts = {
        "architecture": settings.architecture,
        "num_classes": dataset.num_classes,
        "image_shape": list(dataset.image_shape),
        "class_names": list(dataset.class_names),
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
    folder: pathlib.Path, settings: Config, dataset: Dataset, seed: int, augment: Augment, progress: WorkProgress
) -> LoadedClassifier:
    """Loads the classifier that a config names; if it names none, the workdir's own, which is trained if necessary.

    Args:
        folder: folder of the workdir's own classifier, called 'classifier' or 'oracle'.
        settings: `classifier` or `oracle` part of the config.
        dataset: data set to train on.
        seed: seed of the training.
        augment: random augmentation of the training images.
        progress: progress display of the training.

    Raises:
        ConfigError: if the named classifier is not what the config says, does not fit the data set's images or classes,
            or differs from the one that the run's checkpoints were trained with.
    """
    name = folder.name
    if not settings.path and not (folder / MANIFEST).exists():
        _train(folder, settings, dataset, seed, augment, progress)
    try:
        loaded = load_named(settings, folder, name, dataset.image_shape)
    except CheckpointError as error:
        if settings.path:
            raise
        log.warning("training the %s again: %s", name, error)
        _train(folder, settings, dataset, seed, augment, progress)
        loaded = load_classifier(folder)
    path = settings.path or str(folder)
    _check_fit(loaded, dataset, name, path)
    return _known_again(loaded, folder.parent, name, path)


def take_handed_in(folder: pathlib.Path, function: HostClassifier, dataset: Dataset) -> LoadedClassifier:
    """The classifier that a program hands in as a function; it is known again by its answers.

    Args:
        folder: folder of the workdir that its own classifier would have.
        function: images `[batch, height, width, channels]` in [0, 1], numpy arrays, to probabilities `[batch, K]`.
        dataset: data set of the run.

    Raises:
        ConfigError: if it does not fit the data set's images or classes, or answers otherwise than the one that the
            run's checkpoints were trained with.
    """
    loaded = handed_in(function, dataset.image_shape)._replace(facts={"path": HANDED_IN})
    _check_fit(loaded, dataset, folder.name, HANDED_IN)
    return _known_again(loaded, folder.parent, folder.name, HANDED_IN)


def label_dataset(loaded: LoadedClassifier, dataset: Dataset, cache: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the classifier's class of every image, by split; -1 where it has no finite answer.

    Args:
        loaded: classifier.
        dataset: data set of the images.
        cache: path of the file that keeps the classes if JAX cannot trace the classifier, since it may be slow.

    Raises:
        ConfigError: if it gives some of the images another class than the file has: what it loads has changed.
    """
    if loaded.traceable:
        return {split: predicted_classes(loaded.answer, dataset.split(split), spread=True) for split in SPLITS}
    with first_one_first("answers"):
        return _kept_or_asked(loaded, dataset, cache)


def _kept_or_asked(loaded: LoadedClassifier, dataset: Dataset, cache: pathlib.Path) -> dict[str, np.ndarray]:
    counts = {split: len(dataset.split(split)) for split in SPLITS}
    key = f"{loaded.fingerprint} {dataset.name} {dataset.fingerprint} {list(counts.values())}"
    classes = read_kept(cache, lambda arrays: {split: arrays[split] for split in SPLITS}, key=key)
    if classes is None or any(classes[split].shape != (counts[split],) for split in SPLITS):
        classes = {split: predicted_classes(loaded.answer, dataset.split(split), compiled=False) for split in SPLITS}
        write_npz(cache, key=np.asarray(key), **classes)
    else:
        _check_still(loaded, dataset.train, classes["train"], cache)
    return classes


def _check_still(loaded: LoadedClassifier, source: ImageSource, known: np.ndarray, cache: pathlib.Path) -> None:
    """Asks again about a few images: the fixed ones that a classifier is known by can look alike to two of them."""
    rows = _some_rows(source)
    answers = np.asarray(loaded.answer(to_unit(source.take(rows))))
    low, high = np.sort(answers, axis=-1)[:, -2:].T
    others = np.flatnonzero((classes_of(answers) != known[rows]) & (high - low > UNSURE))
    if len(others):
        raise ConfigError(
            f"the classifier gives {len(others)} of {len(rows)} training images another class than {cache} has, which "
            f"it gave before: something that it loads or asks has changed, or its answers are random. Bring back what "
            f"it was, or train in another --workdir"
        )
