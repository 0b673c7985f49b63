"""Assembles a training run: data, classifier and oracle, networks, checkpoints."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console
from rich.text import Text

from cae_jax.classifiers import predicted_classes, svm_judge, with_sound_gradients
from cae_jax.config.check import asked_in_steps, check_devices, check_differentiable, check_images, check_settings
from cae_jax.config.reading import Config, ConfigError
from cae_jax.config.settings import file_settings
from cae_jax.data import (
    LISTING,
    SPLITS,
    Dataset,
    PairSampler,
    Selection,
    image_names,
    listing_bytes,
    make_augment,
    open_dataset,
)
from cae_jax.errors import OneClass
from cae_jax.metrics import majority_share
from cae_jax.parallel.processes import first_one_first, is_first
from cae_jax.parallel.sharding import data_mesh
from cae_jax.progress import WorkProgress
from cae_jax.training.build import Trainer, build_trainer
from cae_jax.training.classifiers import ANSWERS, label_dataset, take_handed_in, train_or_load
from cae_jax.training.evaluation import Evaluator, Functions, make_functions
from cae_jax.training.student import POOR, Student, Tutor, learn_or_load
from cae_jax.types import HostClassifier, ImageSource, Predict
from cae_jax.workdir.checkpoints import CheckpointStore
from cae_jax.workdir.classifier_store import HANDED_IN, LoadedClassifier
from cae_jax.workdir.files import write_whole
from cae_jax.workdir.lock import make_workdir
from cae_jax.workdir.record import FILE as RECORD
from cae_jax.workdir.record import claim_workdir, forget_untrained

SKIPPED = "skipped_files.txt"
UNANSWERED = "unanswered_images.txt"
SHOWN = 5  # images that a message lists
FEW = 5  # images per class; a smaller split is itself to blame if the classifier gives it a single class
ORACLE_SEED = 1000  # added to the run's seed, so that the oracle shares no randomness with the classifier


@dataclasses.dataclass
class Run:
    """The fixed parts of a run, assembled once by `prepare` and read by training, validation and scoring.

    Attributes:
        config: checked settings.
        workdir: folder that everything is written to.
        console: console for messages.
        dataset: data set, without images that the classifier has no finite answer to.
        mesh: mesh of all devices.
        accuracy: accuracy on the test split, by the names 'classifier' and, if there is one, 'oracle'.
        predictions: classifier's class of each image, by split.
        trainer: networks and compiled training steps.
        functions: compiled functions of the model, the classifier and the oracle.
        store: checkpoints of the run.
        tutor: teaches a black box's student while swaps are drawn; None where there is no student.
        build: builds a trainer from a config with other numbers of steps.
        learned_from: what training states depend on besides the settings of the CAE: the fingerprints of data and
            classifier, and the seed.
    """

    config: Config
    workdir: pathlib.Path
    console: Console
    dataset: Dataset
    mesh: Mesh
    accuracy: dict[str, float]
    predictions: dict[str, np.ndarray]
    trainer: Trainer
    functions: Functions
    store: CheckpointStore
    tutor: Tutor | None
    build: Callable[[Config], Trainer]
    learned_from: dict[str, str | int]

    def sampler(self, pairs: int) -> PairSampler:
        """A sampler of batches of `pairs` pairs of training images; every process reads its share of a batch."""
        config, train = self.config, self.dataset.train
        labels = self.predictions["train"] if config.labels == "classifier" else train.labels
        shared = jax.process_index(), jax.process_count()
        return PairSampler(train, labels, pairs, config.seed, config.train.balanced, *shared)

    def evaluator(self, split: str) -> Evaluator:
        """An evaluator that scores generators on a split."""
        return Evaluator(
            self.functions,
            self.dataset.train,
            self.predictions["train"],
            self.dataset.split(split),
            self.predictions[split],
            self.config.seed,
        )


def _accuracy(loaded: LoadedClassifier, source: ImageSource) -> float:
    return float((predicted_classes(loaded.answer, source, compiled=loaded.traceable) == source.labels).mean())


def _warn_of_chance(accuracy: dict[str, float], dataset: Dataset, console: Console) -> None:
    """Warns if the classifier or the oracle is no better than chance.

    Most often a classifier's input is then prepared otherwise than in its training. It warns where the accuracy is
    within two standard errors of always answering the most frequent class.
    """
    chance = majority_share(dataset.test.labels)
    advice = {
        "classifier": "Check classifier.input (order of the channels, range, mean, std, layout, size) and the order of "
        f"the classes ({', '.join(dataset.class_names)}).",
        "oracle": "What it says of swaps says nothing of them: give it more steps (oracle.steps), name a better one "
        "(oracle.path), or leave it out (oracle.steps=0).",
    }
    for name, rate in accuracy.items():
        if rate <= chance + 2.0 * (chance * (1.0 - chance) / len(dataset.test)) ** 0.5:
            console.print(
                f"The {name} is right about {rate:.3f} of the test images, no better than whoever always says the most "
                f"frequent class ({chance:.3f}). {advice[name]}",
                style="bold red",
                markup=False,
            )


def _leave_unanswered(
    dataset: Dataset, predictions: dict[str, np.ndarray], workdir: pathlib.Path, console: Console
) -> tuple[Dataset, dict[str, np.ndarray]]:
    """Removes images that the classifier has no finite answer to, and reports them.

    Raises:
        ConfigError: if no image of a split is left.
    """
    rows = {split: np.flatnonzero(predictions[split] < 0) for split in SPLITS}
    names = [name for split in SPLITS for name in image_names(dataset.split(split), rows[split].tolist(), split)]
    if not names:
        return dataset, predictions
    if is_first():
        write_whole(workdir / UNANSWERED, "".join(f"{name}\n" for name in names))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    counts = ", ".join(f"{len(rows[split])} {split}" for split in SPLITS)
    console.print(
        f"The classifier has no finite answer to {len(names)} images ({counts}), which are left out: "
        f"{', '.join(names[:SHOWN])}{more}; {workdir / UNANSWERED} lists them",
        style="bold red",
        markup=False,
    )
    for split in SPLITS:
        if len(rows[split]) == len(predictions[split]):
            raise ConfigError(f"the classifier has no finite answer to any {split} image; check classifier.input")
    kept = {split: np.flatnonzero(predictions[split] >= 0) for split in SPLITS}
    left = dataclasses.replace(dataset, **{split: Selection(dataset.split(split), kept[split]) for split in SPLITS})
    return left, {split: predictions[split][kept[split]] for split in SPLITS}


def _one_class(split: str, classes: np.ndarray, dataset: Dataset, accuracy: float) -> str:
    """The error message if a classifier gives all images of a split one class; it blames the split if that is small."""
    given = f"the classifier gives all {len(classes)} {split} images of {dataset.name} the class"
    name = dataset.class_names[classes[0]]
    if split != "train" and len(classes) < FEW * dataset.num_classes:
        return (
            f"{given} {name}, and swaps between classes are scored on them. So few say little of a classifier (it is "
            f"{accuracy:.3f} accurate on test): bring more images, or put some that it tells apart into that split"
        )
    return f"{given} {name}; a CAE needs two classes or more. Check the classifier ({accuracy:.3f} accurate on test)"


def _open(config: Config, workdir: pathlib.Path, console: Console) -> Dataset:
    """Opens the data set that a config names, and reports prominently if another one had to be used instead."""
    with first_one_first("data"):
        if is_first():
            forget_untrained(workdir, config)
        settings = file_settings(config.data, workdir)
        dataset = open_dataset(config.data.name, config.data.dir, config.data.fallback, settings)
    if dataset.note:
        console.rule(Text("other data than asked for", "bold red"), style="red")
        console.print(dataset.note, style="bold red")
        console.rule(style="red")
    return dataset


def _claim(workdir: pathlib.Path, config: Config, dataset: Dataset, console: Console) -> Config:
    """Claims the workdir for this run, and records in it which files are in which split and which cannot be used.

    Returns:
        The config to go on with, see `claim_workdir`.
    """
    with first_one_first("workdir"):
        make_workdir(workdir)
        begun = (workdir / RECORD).exists()
        config = claim_workdir(workdir, config, dataset)
        if dataset.listing is not None and is_first():
            if begun and not (workdir / LISTING).exists():
                console.print(
                    f"{workdir} was begun by a version that kept no {LISTING}: where splits are drawn, it may have "
                    f"trained on what are test images now; to be sure, start again in another --workdir",
                    style="bold red",
                    markup=False,
                )
            write_whole(workdir / LISTING, listing_bytes(dataset.listing))
    if dataset.skipped and is_first():
        lines = "".join(f"{path}\t{reason}\n" for path, reason in dataset.skipped)
        write_whole(workdir / SKIPPED, lines.encode(errors="surrogateescape"))
        console.print(
            f"{len(dataset.skipped)} files cannot be used; {workdir / SKIPPED} says why", style="bold red", markup=False
        )
    return config


def _load_classifiers(
    config: Config, workdir: pathlib.Path, dataset: Dataset, console: Console, host_classifier: HostClassifier | None
) -> tuple[LoadedClassifier, LoadedClassifier | None]:
    """Loads or trains classifier and oracle; existing ones first, so that their errors come before any training.

    There is no oracle where none is named and none is to be trained.
    """
    augment = make_augment(**config.augment.to_dict())
    seeds = {"classifier": config.seed}
    if config.oracle.path or config.oracle.steps:
        seeds["oracle"] = config.seed + ORACLE_SEED
    loaded = {}
    with first_one_first("classifiers"), WorkProgress(console) as progress:
        for name in sorted(seeds, key=lambda name: not config[name].path):
            if name == "classifier" and host_classifier is not None:
                loaded[name] = take_handed_in(workdir / name, host_classifier, dataset)
            else:
                loaded[name] = train_or_load(workdir / name, config[name], dataset, seeds[name], augment, progress)
            if name == "classifier":
                check_differentiable(config, loaded[name].traceable)
    return loaded["classifier"], loaded.get("oracle")


def _say_what_there_is(dataset: Dataset, accuracy: dict[str, float], console: Console) -> None:
    """Reports the number of images and the accuracy of both classifiers; warns if the classifier is at chance."""
    console.print(
        f"{dataset.name}: {len(dataset.train)} train, {len(dataset.validation)} validation, {len(dataset.test)} test "
        f"images {dataset.image_shape}; {', '.join(f'{name} {rate:.3f}' for name, rate in accuracy.items())} accurate "
        f"on test" + (" (the oracle only says what swaps look like)" if "oracle" in accuracy else "")
    )
    _warn_of_chance(accuracy, dataset, console)


def _student(
    config: Config,
    workdir: pathlib.Path,
    dataset: Dataset,
    classifier: LoadedClassifier,
    predictions: dict[str, np.ndarray],
    console: Console,
) -> Student | None:
    """The student of a classifier that JAX cannot differentiate, if a step asks for one; reports how well it agrees."""
    asked = asked_in_steps(config)
    if classifier.traceable or not asked:
        return None
    student = learn_or_load(config, workdir, classifier, dataset, predictions["validation"], console)
    poor = student.agreement < POOR
    console.print(
        f"JAX cannot differentiate {config.classifier.path}, so {', '.join(asked)} ask a student of it, which gives "
        f"{student.agreement:.3f} of the validation images the same class"
        + (". That is few: swaps may flip the student rather than the classifier; bring more images" if poor else ""),
        style="bold red" if poor else None,
        markup=False,
    )
    return student


def _gradient_source(classifier: LoadedClassifier) -> Predict | None:
    """The classifier as a differentiable function for training; None if JAX cannot trace it."""
    if not classifier.traceable:
        return None
    return classifier.predict if classifier.check is None else with_sound_gradients(classifier.predict)


def _with_handed_in(config: Config) -> Config:
    """The config of a run whose classifier is a function that was handed in."""
    if config.classifier.path not in ("", HANDED_IN):
        raise ConfigError(
            f"classifier.path is {config.classifier.path}, and a function was handed in; name one of them"
        )
    config = config.copy_and_resolve_references()
    config.classifier.path = HANDED_IN
    return config


def prepare(
    config: Config, workdir: pathlib.Path, console: Console, host_classifier: HostClassifier | None = None
) -> Run:
    """Checks settings, opens the data, claims the workdir, loads or trains classifier and oracle, builds the networks.

    Mistakes of the user are reported as early as they can be detected.

    Args:
        config: config of the run.
        workdir: folder of the run.
        console: console for messages and progress.
        host_classifier: function to explain instead of a classifier that the config names, see `loop.train`.

    Raises:
        ConfigError: for settings that are invalid, or contradict each other, the workdir or the data.
        DataUnavailable: if the data set cannot be obtained.
        OneClass: if the classifier gives all images of a split one class.
    """
    config = check_settings(config if host_classifier is None else _with_handed_in(config))
    check_devices(config)
    dataset = _open(config, workdir, console)
    check_images(config, dataset.image_shape)
    config = _claim(workdir, config, dataset, console)
    classifier, oracle = _load_classifiers(config, workdir, dataset, console, host_classifier)
    predictions = label_dataset(classifier, dataset, workdir / ANSWERS)
    dataset, predictions = _leave_unanswered(dataset, predictions, workdir, console)
    accuracy = {"classifier": float((predictions["test"] == dataset.test.labels).mean())}
    if oracle is not None:
        accuracy["oracle"] = _accuracy(oracle, dataset.test)  # its own record may be of other data
    _say_what_there_is(dataset, accuracy, console)
    for split, classes in predictions.items():
        if len(set(classes.tolist())) < 2:
            raise OneClass(_one_class(split, classes, dataset, accuracy["classifier"]))
    mesh, shape = data_mesh(), dataset.image_shape
    student = _student(config, workdir, dataset, classifier, predictions, console)
    source = student or _gradient_source(classifier)
    build = functools.partial(
        build_trainer, mesh=mesh, image_shape=shape, num_classes=dataset.num_classes, predict=source
    )
    trainer = build(config)
    networks, tutor = trainer.networks, None
    if student:
        tutor = Tutor(student, classifier.answer, networks, make_augment(**config.augment.to_dict()))
    answers = classifier.answer, oracle and oracle.answer
    svm = svm_judge(dataset.train, config.evaluation.svm_images, config.seed)
    functions = make_functions(networks.model, shape[:2], *answers, networks.residual, svm)
    store = CheckpointStore(workdir / "checkpoints")
    learned_from = {"data": dataset.fingerprint, "classifier": classifier.fingerprint, "seed": config.seed}
    return Run(
        config,
        workdir,
        console,
        dataset,
        mesh,
        accuracy,
        predictions,
        trainer,
        functions,
        store,
        tutor,
        build,
        learned_from,
    )
