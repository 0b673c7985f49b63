"""What methods are asked about: a classifier, its CAE, and the same held-out images for all."""

import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from cae_jax import classifiers
from cae_jax.comparison.protocol import read_protocol
from cae_jax.config.reading import Config, ConfigError
from cae_jax.data import Truth, true_answers
from cae_jax.explaining import Explainer
from cae_jax.images import to_unit
from cae_jax.models import Individual
from cae_jax.workdir.classifier_store import LoadedClassifier, load_oracle
from cae_jax.workdir.record import read_record


class Classifier(NamedTuple):
    """A classifier as methods need it.

    Attributes:
        predict: images in [0, 1] to probabilities.
        logits: images to scores before the softmax.
        tap: images and an offset to logits and the activation of the last convolution, see `make_tap`.
        params: of the network.
        network: that `params` belong to.
    """

    predict: Callable
    logits: Callable
    tap: Callable
    params: Any
    network: Any


def check_classifiers(config: Config) -> None:
    """Checks that a training config's classifier and oracle are networks of ours, whose layers methods can look into.

    Raises:
        ConfigError: naming the key.
    """
    for name in ("classifier", "oracle"):
        path = config[name].path
        if path and not pathlib.Path(path).is_dir():
            raise ConfigError(
                f"{name}.path is {path}, a classifier that was made elsewhere; the comparison needs gradients and "
                f"activations of both classifiers, so it knows those that train.py has trained"
            )


class Setting:
    """Everything that a method may look at, computed once.

    Attributes:
        protocol: what is fixed.
        cae: options of `Explainer.explain` for counterfactuals, as the bench config has them.
        attribution: options of `attribute` for CAE's map.
        explainer: the trained CAE.
        model_scores: its `metrics.json`; empty where training has not come to its end.
        classifier: that is explained.
        oracle: an independent classifier, for scores only.
        rows: of the split that are explained, `[N]`.
        images: `[N, height, width, channels]` float32 in [0, 1].
        classes: `[N]`, the classifier's answers: what attributions explain.
        targets: `[N]`, a random other class for each image: what counterfactuals are asked for.
        truth: the true answers, where the data set knows them, else None.
    """

    def __init__(self, config: Config, workdir: pathlib.Path):
        self.protocol = protocol = read_protocol(config)
        self.cae, self.attribution = dict(config.cae), dict(config.attribution)
        check_classifiers(read_record(workdir).config)
        self.explainer = Explainer.load(workdir)
        scored = workdir / "metrics.json"
        self.model_scores: dict[str, Any] = json.loads(scored.read_text()) if scored.exists() else {}
        self.classifier = make_classifier(self.explainer.classifier)
        self.oracle = make_classifier(load_oracle(workdir))
        source = self.explainer.dataset.split(protocol.split)
        rng = np.random.default_rng(protocol.seed)
        self.rows = np.sort(rng.permutation(len(source))[: protocol.images])
        self.images = np.asarray(to_unit(source.take(self.rows)))
        self.probabilities = self.explainer.predict(self.images)
        self.classes = self.probabilities.argmax(-1).astype(np.int32)
        count = len(self.explainer.record.class_names)
        self.targets = ((self.classes + rng.integers(1, count, len(self.rows))) % count).astype(np.int32)
        self.truth: Truth | None = None
        if self.explainer.record.data.startswith("phantom/"):
            self.truth = true_answers(self.explainer.record.data, protocol.split, self.rows)

    @functools.cached_property
    def train_images(self) -> np.ndarray:
        """The training images, `[M, height, width, channels]` float32 in [0, 1]."""
        source = self.explainer.dataset.train
        return np.asarray(to_unit(source.take(np.arange(len(source)))))

    @functools.cached_property
    def mean_colour(self) -> np.ndarray:
        """Of the training images, `[channels]`."""
        return self.train_images.mean((0, 1, 2))

    @functools.cached_property
    def reconstructions(self) -> np.ndarray:
        """What the CAE's decoder draws of the images by itself."""
        individual, class_codes = self.explainer.encode(self.images)
        return self.explainer.decode(Individual(individual.code), class_codes)


def make_classifier(loaded: LoadedClassifier) -> Classifier:
    """A classifier with its scores and its last convolution."""
    facts, params = loaded.facts, loaded.params
    network = classifiers.make_classifier(facts["architecture"], facts["num_classes"])
    layer = classifiers.last_convolution(network, params, facts["image_shape"])
    return Classifier(
        jax.jit(loaded.predict),
        classifiers.make_logits(network, params),
        classifiers.make_tap(network, params, layer),
        params,
        network,
    )
