"""The task that methods are given and the counterfactuals they return; and, separate from it, what scores them."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from cae_jax import classifiers, metrics
from cae_jax.baselines import WhiteBox, randomise
from cae_jax.comparison.used_to_gaps import UsedToGaps, open_used_to_gaps
from cae_jax.config.protocol import Protocol, check_oracle, read_protocol
from cae_jax.config.reading import Config
from cae_jax.data import Truth, image_names, true_answers
from cae_jax.explaining import Explainer
from cae_jax.images import to_unit
from cae_jax.models import Individual
from cae_jax.training.classifiers import ANSWERS, label_dataset
from cae_jax.training.student import ARCHITECTURE, learn_or_load
from cae_jax.workdir.classifier_store import load_oracle
from cae_jax.workdir.record import read_record, read_scores


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """Everything that a method may see.

    Attributes:
        images: exemplars, `[N, height, width, channels]` float32 in [0, 1].
        classes: classifier's class of each image, `[N]`, which attributions explain.
        targets: target class of each counterfactual, `[N]`: a random other class.
        train_images: training images, `[M, height, width, channels]` float32 in [0, 1].
        mean_colour: mean colour of the training images, `[channels]` in [0, 1].
        removal: how cells are removed when maps are scored.
        classifier: classifier that is explained.
        explainer: explainer of the CAE that was trained for the classifier.
        confidence: probability that a counterfactual's target must reach.
        student: whether a black box's student stands in for it where methods need to look inside.
        seed: seed of methods that draw at random.
        cae: options of `Explainer.explain` for CAE's counterfactuals, from the bench config.
        attribution: options of `attribute` for CAE's maps, from the bench config.
    """

    images: np.ndarray
    classes: np.ndarray
    targets: np.ndarray
    train_images: np.ndarray
    mean_colour: np.ndarray
    removal: metrics.Removal
    classifier: WhiteBox
    explainer: Explainer
    confidence: float
    student: bool
    seed: int
    cae: dict[str, Any]
    attribution: dict[str, Any]

    @functools.cached_property
    def reconstructions(self) -> np.ndarray:
        """The CAE's reconstructions of the images, without anything kept from the exemplars."""
        individual, class_codes = self.explainer.encode(self.images)
        return self.explainer.decode(Individual(individual.code), class_codes)


class Judge(NamedTuple):
    """What methods are scored by; no method may see it.

    Attributes:
        protocol: settings of the scores.
        oracle: oracle, an independent classifier.
        svm: second judge, images to classes; None if the run left it out.
        used_to_gaps: classifier that is used to missing cells.
        truth: true masks, counterfactuals and planted shortcuts; None if the data set does not have them.
    """

    protocol: Protocol
    oracle: WhiteBox
    svm: classifiers.Classify | None
    used_to_gaps: UsedToGaps
    truth: Truth | None


class Setting(NamedTuple):
    """A comparison that is ready to run.

    Attributes:
        task: task of the methods.
        judge: what they are scored by.
        rows: row numbers, in the split, of the images that are explained, `[N]`.
        model_scores: contents of the CAE's `metrics.json`; empty if its training has not finished, or it is of another
            checkpoint.
        inputs: what results depend on besides config and model: fingerprints of data and oracle, what the SVM is fitted
            to.
    """

    task: Task
    judge: Judge
    rows: np.ndarray
    model_scores: dict[str, Any]
    inputs: tuple[str | int, ...]


class Counterfactuals(NamedTuple):
    """A counterfactual for each image.

    Attributes:
        images: counterfactuals, `[N, height, width, channels]` in [0, 1].
        bases: images that the method changed, of the same shape: the exemplars, or its reconstructions of them.
        shifts: shift of each counterfactual along its path, `[N]` in [0, 1]; NaN where there is none.
        diverse: several counterfactuals for each image, `[N, M, height, width, channels]`, with NaN images where there
            are fewer; or None.
    """

    images: np.ndarray
    bases: np.ndarray
    shifts: np.ndarray
    diverse: np.ndarray | None = None


def _own(params: Any, facts: Mapping[str, Any]) -> WhiteBox:
    """A network of ours, with its logits and its last convolution."""
    network = classifiers.make_classifier(facts["architecture"], facts["num_classes"])
    layer = classifiers.last_convolution(network, params, facts["image_shape"])

    def opened(params: Any) -> WhiteBox:
        return WhiteBox(
            jax.jit(classifiers.make_predict(network, params)),
            classifiers.make_logits(network, params),
            classifiers.make_tap(network, params, layer),
            lambda seed: opened(randomise(params, seed)),
        )

    return opened(params)


def _black_box(explainer: Explainer, workdir: pathlib.Path, console: Console) -> WhiteBox:
    """A classifier that JAX cannot differentiate: its own answers, and its student's logits, layers and parameters."""
    loaded, dataset, config = explainer.classifier, explainer.dataset, explainer.record.config
    predictions = label_dataset(loaded, dataset, workdir / ANSWERS)
    student = learn_or_load(config, workdir, loaded, dataset, predictions["validation"], console)
    facts = {"architecture": ARCHITECTURE, "num_classes": dataset.num_classes, "image_shape": dataset.image_shape}
    console.print(
        f"{config.classifier.path or 'the classifier'} shows no gradients: methods that need them are given its "
        f"student, which gives {student.agreement:.3f} of the validation images the same class; the tables mark them",
        markup=False,
        highlight=False,
    )
    return _own(student.params, facts)._replace(predict=lambda images: loaded.answer(np.asarray(images)))


def open_classifier(explainer: Explainer, workdir: pathlib.Path, console: Console) -> WhiteBox:
    """The classifier that an explainer explains, as methods may see it.

    One that was trained by a run shows everything; a function that JAX can differentiate shows the logarithms of its
    probabilities as logits, but no layers; any other classifier has a student for what it does not show.

    Args:
        explainer: explainer of a trained run.
        workdir: folder of the run, which a student is kept in.
        console: console that shows how a student is trained.
    """
    loaded = explainer.classifier
    if loaded.params is not None:
        return _own(loaded.params, loaded.facts)
    if not loaded.traceable:
        return _black_box(explainer, workdir, console)
    least = np.finfo(np.float32).tiny
    return WhiteBox(jax.jit(loaded.predict), lambda images: jnp.log(jnp.maximum(loaded.predict(images), least)))


def _removal(protocol: Protocol, mean_colour: np.ndarray) -> metrics.Removal:
    makers: dict[str, Callable[[], metrics.Fill]] = {
        "mean": lambda: metrics.mean_fill(mean_colour),
        "blur": lambda: metrics.blur_fill(protocol.blur),
        "imputation": metrics.noisy_linear_imputation,
    }
    return metrics.Removal(protocol.patch, protocol.steps, {name: makers[name]() for name in protocol.fills})


def open_setting(config: Config, workdir: pathlib.Path, folder: pathlib.Path, console: Console) -> Setting:
    """Opens a trained run and draws the images and targets of a comparison.

    Args:
        config: config of the comparison.
        workdir: folder of the trained run.
        folder: folder of the comparison, which the classifier that is used to missing cells is kept in.
        console: console for messages and progress.

    Raises:
        ConfigError: if the config is invalid, the folder holds no run, or the oracle was not trained by a run.
        CheckpointError: if there is no complete checkpoint yet, or the classifier is damaged or not the one that the
            CAE was trained for.
    """
    protocol = read_protocol(config)
    check_oracle(read_record(workdir).config)
    explainer = Explainer.load(workdir)
    data, names = explainer.record.data, explainer.record.class_names
    source = explainer.dataset.split(protocol.split)
    rng = np.random.default_rng(protocol.seed)
    rows = np.sort(rng.permutation(len(source))[: protocol.images])
    images = np.asarray(to_unit(source.take(rows)))
    answers = classifiers.classes_of(explainer.answers(images))
    if (answers < 0).any():
        named = ", ".join(image_names(source, rows[answers < 0].tolist(), protocol.split))
        console.print(f"left out, as the classifier has no finite answer: {named}", markup=False, highlight=False)
        rows, images, answers = rows[answers >= 0], images[answers >= 0], answers[answers >= 0]
    train = explainer.dataset.train
    train_images = np.asarray(to_unit(train.take(np.arange(len(train)))))
    mean_colour = train_images.mean((0, 1, 2))
    removal = _removal(protocol, mean_colour)
    task = Task(
        images=images,
        classes=answers,
        targets=((answers + rng.integers(1, len(names), len(rows))) % len(names)).astype(np.int32),
        train_images=train_images,
        mean_colour=mean_colour,
        removal=removal,
        classifier=open_classifier(explainer, workdir, console),
        explainer=explainer,
        confidence=protocol.confidence,
        student=not explainer.classifier.traceable,
        seed=protocol.seed,
        cae=dict(config.cae),
        attribution=dict(config.attribution),
    )
    truth = true_answers(data, protocol.split, rows, names) if data.startswith("phantom/") else None
    oracle, own = load_oracle(workdir), explainer.record.config
    svm = classifiers.svm_judge(train, own.evaluation.svm_images, own.seed)
    gaps = open_used_to_gaps(explainer, workdir, folder, protocol, removal, console)
    judge = Judge(protocol, _own(oracle.params, oracle.facts), svm, gaps, truth)
    inputs = (explainer.dataset.fingerprint, oracle.fingerprint, own.evaluation.svm_images, own.seed)
    return Setting(task, judge, rows, read_scores(workdir, explainer.step), inputs)
