"""What methods are asked about and what they answer; and, kept apart from it, what only scores them."""

import dataclasses
import functools
import json
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np

from cae_jax import classifiers
from cae_jax.baselines import WhiteBox, randomise
from cae_jax.config.protocol import Protocol, check_classifiers, made_elsewhere, read_protocol
from cae_jax.config.reading import Config
from cae_jax.data import Truth, true_answers
from cae_jax.explaining import Explainer
from cae_jax.images import to_unit
from cae_jax.models import Individual
from cae_jax.workdir.classifier_store import LoadedClassifier, load_oracle
from cae_jax.workdir.record import read_record


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """All that a method may look at.

    Attributes:
        images: `[N, height, width, channels]` float32 in [0, 1].
        classes: `[N]`, the classifier's answers: what attributions explain.
        targets: `[N]`, a random other class for each image: what counterfactuals are asked for.
        classifier: that is explained.
        explainer: the CAE that was trained for it.
        confidence: probability of the target that a counterfactual must reach.
        seed: of random methods.
        cae: options of `Explainer.explain` for counterfactuals, as the bench config has them.
        attribution: options of `attribute` for CAE's map.
    """

    images: np.ndarray
    classes: np.ndarray
    targets: np.ndarray
    classifier: WhiteBox
    explainer: Explainer
    confidence: float
    seed: int
    cae: dict[str, Any]
    attribution: dict[str, Any]

    @functools.cached_property
    def train_images(self) -> np.ndarray:
        """The training images, `[M, height, width, channels]` float32 in [0, 1]."""
        source = self.explainer.dataset.train
        return np.asarray(to_unit(source.take(np.arange(len(source)))))

    @functools.cached_property
    def mean_colour(self) -> np.ndarray:
        """Mean of the training images, `[channels]`."""
        return self.train_images.mean((0, 1, 2))

    @functools.cached_property
    def reconstructions(self) -> np.ndarray:
        """What the CAE's decoder draws of the images by itself."""
        individual, class_codes = self.explainer.encode(self.images)
        return self.explainer.decode(Individual(individual.code), class_codes)


class Judge(NamedTuple):
    """What scores methods, and what no method may see.

    Attributes:
        protocol: how answers are scored.
        oracle: an independent classifier.
        truth: the true answers, where the data set knows them, else None.
    """

    protocol: Protocol
    oracle: WhiteBox
    truth: Truth | None


class Setting(NamedTuple):
    """A comparison that is ready to run.

    Attributes:
        task: for the methods.
        judge: for their scores.
        rows: of the split that are explained, `[N]`.
        model_scores: `metrics.json` of the CAE; empty where training has not come to its end.
    """

    task: Task
    judge: Judge
    rows: np.ndarray
    model_scores: dict[str, Any]


class Counterfactuals(NamedTuple):
    """A counterfactual for each image.

    Attributes:
        images: `[N, height, width, channels]` in [0, 1].
        bases: what they were changed from: the images, or a method's reconstructions of them.
        shifts: `[N]`, how far along a path they lie, NaN where there is no path.
        diverse: `[N, M, height, width, channels]`, several for each image, or None.
    """

    images: np.ndarray
    bases: np.ndarray
    shifts: np.ndarray
    diverse: np.ndarray | None = None


def open_classifier(loaded: LoadedClassifier, name: str) -> WhiteBox:
    """A classifier that was trained here, with its scores and its last convolution.

    Raises:
        ConfigError: if it was not, with its name in the config.
    """
    facts = loaded.facts
    if loaded.params is None or not {"architecture", "num_classes", "image_shape"} <= facts.keys():
        raise made_elsewhere(name, facts.get("path") or "not given")
    network = classifiers.make_classifier(facts["architecture"], facts["num_classes"])
    layer = classifiers.last_convolution(network, loaded.params, facts["image_shape"])

    def opened(params: Any) -> WhiteBox:
        return WhiteBox(
            jax.jit(classifiers.make_predict(network, params)),
            classifiers.make_logits(network, params),
            classifiers.make_tap(network, params, layer),
            lambda seed: opened(randomise(params, seed)),
        )

    return opened(loaded.params)


def open_setting(config: Config, workdir: pathlib.Path) -> Setting:
    """Opens a trained run and draws the images and targets of a comparison.

    Args:
        config: a bench config.
        workdir: of the run.

    Raises:
        ConfigError: if its classifier or oracle was made elsewhere; for the others see `Explainer.load`.
    """
    protocol = read_protocol(config)
    check_classifiers(read_record(workdir).config)
    explainer = Explainer.load(workdir)
    data, classes = explainer.record.data, len(explainer.record.class_names)
    source = explainer.dataset.split(protocol.split)
    rng = np.random.default_rng(protocol.seed)
    rows = np.sort(rng.permutation(len(source))[: protocol.images])
    images = np.asarray(to_unit(source.take(rows)))
    answers = explainer.predict(images).argmax(-1).astype(np.int32)
    task = Task(
        images=images,
        classes=answers,
        targets=((answers + rng.integers(1, classes, len(rows))) % classes).astype(np.int32),
        classifier=open_classifier(explainer.classifier, "classifier"),
        explainer=explainer,
        confidence=protocol.confidence,
        seed=protocol.seed,
        cae=dict(config.cae),
        attribution=dict(config.attribution),
    )
    truth = true_answers(data, protocol.split, rows) if data.startswith("phantom/") else None
    judge = Judge(protocol, open_classifier(load_oracle(workdir), "oracle"), truth)
    scored = workdir / "metrics.json"
    return Setting(task, judge, rows, json.loads(scored.read_text()) if scored.exists() else {})
