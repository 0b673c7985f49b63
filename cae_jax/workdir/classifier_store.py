"""Classifiers on disk: those that were trained into a workdir, or read from where a config says, and known again."""

import json
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from cae_jax import classifiers
from cae_jax.classifiers import Identity, make_answer
from cae_jax.config.reading import Config, ConfigError
from cae_jax.config.settings import classifier_reference
from cae_jax.types import Predict
from cae_jax.workdir.checkpoints import load_tree, read_facts
from cae_jax.workdir.record import FILE as RECORD
from cae_jax.workdir.record import read_record

IDENTITY = "{}_identity.json"  # in a workdir, of its classifier and its oracle
HANDED_IN = "a function that was handed in"  # the path of one in a config
log = logging.getLogger(__name__)


class LoadedClassifier(NamedTuple):
    """A classifier and what is known of it.

    Attributes:
        predict: function from images in [0, 1] to probabilities, not finite where it has no answer; of numpy
            arrays where it is not traceable.
        answer: `predict`, compiled where that can be, of images that are uint8 or in [0, 1].
        params: parameters of its network; None if it was not trained here.
        facts: facts on one trained here, `architecture`, `num_classes`, `image_shape`, `class_names`, `seed`,
            `accuracy` (on the test split of its own data), `data`; of others, `path`; nothing of a function that was
            handed in, unless it is known to be the run's.
        traceable: whether JAX can trace and differentiate it.
        identity: fingerprints that it is known again by.
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
    """Reads a classifier that was trained here.

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
        settings: the config's `classifier` or `oracle` part; its path may be another run's folder.
        own: folder of the classifier that the workdir has of its own.
        name: name of that part, 'classifier' or 'oracle', for messages.
        image_shape: height, width, channels of the run's images; None where nobody knows yet.

    Raises:
        CheckpointError: if it was trained here and is missing or damaged.
        ConfigError: if it is of another framework and is missing or not what the config says; or if a run has none.
    """
    if not settings.path:
        return load_classifier(own)
    if (folder := pathlib.Path(settings.path)).is_dir():
        if not (folder / RECORD).exists():
            return load_classifier(folder)
        if not (folder / name).exists():
            raise ConfigError(f"{name}.path: the run in {settings.path} trained no {name}; name its own")
        loaded = load_classifier(folder / name)
        names = {"class_names": list(read_record(folder).class_names)}  # earlier versions' classifiers have none
        return loaded._replace(facts=names | loaded.facts)
    if settings.path == HANDED_IN:
        raise ConfigError(
            f"the {name} of this run is {HANDED_IN}, which no folder holds; hand it in again: "
            f"train(..., host_classifier=...), Explainer.load(..., host_classifier=...)"
        )
    try:
        foreign = classifiers.load_foreign(classifier_reference(settings, name), image_shape)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    answer = make_answer(foreign.predict, foreign.traceable)
    facts = {"path": settings.path}
    return LoadedClassifier(foreign.predict, answer, None, facts, foreign.traceable, foreign.identity, foreign.check)


def load_oracle(workdir: pathlib.Path) -> LoadedClassifier:
    """The workdir's oracle."""
    record = read_record(workdir)
    return load_named(record.config.oracle, workdir / "oracle", "oracle", record.image_shape)


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
