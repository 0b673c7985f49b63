"""Puts a run together: data, classifier and oracle, networks, checkpoints."""

import dataclasses
import pathlib

import numpy as np
from jax.sharding import Mesh
from rich.console import Console
from rich.progress import Progress

from cae_jax.data import LISTING, Dataset, listing_bytes, make_augment, open_dataset
from cae_jax.metrics import majority_share
from cae_jax.processes import first_one_first, is_first
from cae_jax.training.build import Trainer, build_trainer
from cae_jax.training.checkpoints import CheckpointStore
from cae_jax.training.classifier_store import LoadedClassifier, label_dataset, train_or_load
from cae_jax.training.config import Config
from cae_jax.training.errors import OneClass
from cae_jax.training.evaluation import Evaluator
from cae_jax.training.files import write_whole
from cae_jax.training.functions import Functions, make_functions, predicted_classes
from cae_jax.training.kept_steps import KeptSteps
from cae_jax.training.run_record import FILE as RECORD
from cae_jax.training.run_record import claim_workdir
from cae_jax.training.settings import file_settings
from cae_jax.training.sharding import data_mesh
from cae_jax.types import ImageSource

SKIPPED = "skipped_files.txt"
FEW = 5  # images a class of a split, below which the split is to blame if they are all given one class
ORACLE_SEED = 1000  # added to the run's seed, so that the oracle shares no randomness with the classifier


@dataclasses.dataclass
class Run:
    """A run's fixed parts, put together once by `prepare`.

    Attributes:
        config: the settings.
        workdir: where everything is written.
        console: for people.
        dataset: the images.
        mesh: of all devices.
        accuracy: of classifier and oracle on the test split, by these names.
        predictions: the classifier's classes by split.
        trainer: networks and compiled step.
        functions: the model, compiled.
        store: the checkpoints.
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

    def evaluator(self, split: str) -> Evaluator:
        """Scores on a split."""
        return Evaluator(
            self.functions,
            self.dataset.train,
            self.predictions["train"],
            self.dataset.split(split),
            self.predictions[split],
            self.config.seed,
        )


def _accuracy(loaded: LoadedClassifier, source: ImageSource) -> float:
    return float((predicted_classes(loaded.answer, source) == source.labels).mean())


def _warn_of_chance(accuracy: float, dataset: Dataset, console: Console) -> None:
    """Says so where a classifier knows nothing: most often it was asked in another way than it was trained."""
    chance = majority_share(dataset.test.labels)
    if accuracy <= chance + 2.0 * (chance * (1.0 - chance) / len(dataset.test)) ** 0.5:
        console.print(
            f"The classifier is right about {accuracy:.3f} of the test images, no better than whoever always says the "
            f"most frequent class ({chance:.3f}). Check classifier.input (order of the channels, range, mean, std, "
            f"layout, size) and the order of the classes ({', '.join(dataset.class_names)}).",
            style="bold red",
            markup=False,
        )


def _one_class(split: str, classes: np.ndarray, dataset: Dataset, accuracy: float) -> str:
    """What is said where a classifier gives all images of a split one class: it is the split where that is small."""
    given = f"the classifier gives all {len(classes)} {split} images of {dataset.name} the class"
    name = dataset.class_names[classes[0]]
    if split != "train" and len(classes) < FEW * dataset.num_classes:
        return (
            f"{given} {name}, and swaps between classes are scored on them. So few say little of a classifier (it is "
            f"{accuracy:.3f} accurate on test): bring more images, or put some that it tells apart into that split"
        )
    return f"{given} {name}; a CAE needs two classes or more. Check the classifier ({accuracy:.3f} accurate on test)"


def prepare(config: Config, workdir: pathlib.Path, console: Console) -> Run:
    """Opens the data, claims the workdir, trains or loads classifier and oracle, builds the networks."""
    with first_one_first("data"):
        settings = file_settings(config.data, workdir)
        dataset = open_dataset(config.data.name, config.data.dir, config.data.fallback, settings)
    if dataset.note:
        console.rule("[bold red]other data than asked for", style="red")
        console.print(dataset.note, style="bold red")
        console.rule(style="red")
    with first_one_first("workdir"):
        workdir.mkdir(parents=True, exist_ok=True)
        begun = (workdir / RECORD).exists()
        claim_workdir(workdir, config, dataset)
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
    augment = make_augment(**config.augment.to_dict())
    with first_one_first("classifiers"), Progress(console=console) as progress:
        classifier, oracle = (
            train_or_load(workdir / name, settings, dataset, seed, augment, name, progress)
            for name, settings, seed in (
                ("classifier", config.classifier, config.seed),
                ("oracle", config.oracle, config.seed + ORACLE_SEED),
            )
        )
    predictions = label_dataset(classifier, dataset, workdir / "classifier_answers.npz")
    accuracy = {
        "classifier": float((predictions["test"] == dataset.test.labels).mean()),
        "oracle": oracle.facts["accuracy"] if "accuracy" in oracle.facts else _accuracy(oracle, dataset.test),
    }
    console.print(
        f"{dataset.name}: {len(dataset.train)} train, {len(dataset.validation)} validation, {len(dataset.test)} test "
        f"images {dataset.image_shape}; classifier {accuracy['classifier']:.3f}, oracle {accuracy['oracle']:.3f} "
        f"accurate on test"
    )
    _warn_of_chance(accuracy["classifier"], dataset, console)
    for name, classes in predictions.items():
        if len(set(classes.tolist())) < 2:
            raise OneClass(_one_class(name, classes, dataset, accuracy["classifier"]))
    mesh = data_mesh()
    predict = classifier.predict if classifier.traceable else None
    trainer = build_trainer(config, mesh, dataset.image_shape, dataset.num_classes, predict)
    if predict is None or classifier.params is not None:  # of others' functions we do not know all that they call
        facts = {"config": config.to_dict(), "classifier": classifier.facts.get("architecture")}
        trainer = trainer._replace(steps=KeptSteps(trainer.steps, mesh, facts, classifier.params))
    store = CheckpointStore(workdir / "checkpoints")
    functions = make_functions(trainer.networks.model, dataset.image_shape[:2], classifier.answer, oracle.answer)
    return Run(config, workdir, console, dataset, mesh, accuracy, predictions, trainer, functions, store)
