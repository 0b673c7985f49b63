"""A classifier that is used to missing cells: it stands in for the one that is explained where cells are removed."""

import logging
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from cae_jax import classifiers, metrics
from cae_jax.classifiers import make_answer, predicted_classes
from cae_jax.config.protocol import Protocol
from cae_jax.data import Augment, Selection, make_augment
from cae_jax.explaining import Explainer
from cae_jax.progress import WorkProgress
from cae_jax.training import student
from cae_jax.training.classifiers import ANSWERS, BATCH_SIZE, label_dataset
from cae_jax.types import Predict
from cae_jax.workdir.checkpoints import MANIFEST, CheckpointError, load_tree, read_facts, save_trees

FOLDER = "used_to_gaps"  # in the folder of a comparison
SEED = 3000  # added to the run's seed, so that it shares no randomness with classifier, oracle and student

log = logging.getLogger(__name__)


class UsedToGaps(NamedTuple):
    """A classifier that is used to missing cells, and what it is worth on whole images of the test split.

    Attributes:
        predict: function from images in [0, 1] to probabilities.
        accuracy: share of them whose label it gives.
        agreement: share of them that it gives the class that the explained classifier gives them.
    """

    predict: Predict
    accuracy: float
    agreement: float


def with_gaps(augment: Augment, removal: metrics.Removal) -> Augment:
    """Makes an augmentation that also removes cells: of each image a share, uniform in [0, 1].

    What replaces them is one of the fills, drawn for the whole batch.
    """
    patch, fills = removal.patch, list(removal.fills.values())

    def changed(key: jax.Array, images: jax.Array) -> jax.Array:
        turn, choose, share, draw, noise = jax.random.split(key, 5)
        x = augment(turn, images)
        count, height, width = x.shape[:3]
        shares = jax.random.uniform(share, (count, 1, 1))
        cells = jax.random.uniform(draw, (count, -(-height // patch), -(-width // patch))) < shares
        removed = metrics.spread_cells(cells, patch, height, width)
        return jax.lax.switch(jax.random.randint(choose, (), 0, len(fills)), fills, x, removed, noise)

    return changed


def open_used_to_gaps(
    explainer: Explainer,
    workdir: pathlib.Path,
    folder: pathlib.Path,
    protocol: Protocol,
    removal: metrics.Removal,
    console: Console,
) -> UsedToGaps:
    """Trains a classifier with cells missing, or reads the one that the folder of a comparison has.

    It has the architecture and the recipe of the classifier that is explained; of one that was not trained here, those
    of a student. It learns the explained classifier's classes of the whole training images.

    Args:
        explainer: explainer of the run whose classifier is explained.
        workdir: folder of that run, which the answers of a black box are kept in.
        folder: folder of the comparison.
        protocol: settings of the comparison.
        removal: how cells are removed.
        console: console that shows progress.
    """
    loaded, dataset, config = explainer.classifier, explainer.dataset, explainer.record.config
    settings, own = config.classifier, loaded.params is not None
    facts: dict[str, Any] = {
        "classifier": loaded.fingerprint,
        "data": dataset.fingerprint,
        "architecture": loaded.facts["architecture"] if own else student.ARCHITECTURE,
        "augment": config.augment.to_dict(),
        "cells": [protocol.patch, list(protocol.fills), protocol.blur],
        "steps": settings.steps if own else student.STEPS,
        "batch_size": (settings.batch_size or BATCH_SIZE) if own else student.BATCH,
        "learning_rate": settings.learning_rate if own else student.LEARNING_RATE,
        "seed": config.seed + SEED,
    }
    path = folder / FOLDER
    network = classifiers.make_classifier(facts["architecture"], dataset.num_classes)
    if (path / MANIFEST).exists():
        try:
            kept = read_facts(path)
            if {name: kept.get(name) for name in facts} == facts:
                like = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *dataset.image_shape)))["params"]
                predict = jax.jit(classifiers.make_predict(network, load_tree(path, "params", like)))
                return UsedToGaps(predict, kept["accuracy"], kept["agreement"])
        except CheckpointError as error:
            log.warning("training the classifier that is used to missing cells again: %s", error)
    classes = label_dataset(loaded, dataset, workdir / ANSWERS)
    answered = np.flatnonzero(classes["train"] >= 0)
    source = Selection(dataset.train, answered)
    source.labels = classes["train"][answered]
    with WorkProgress(console) as progress:
        task = progress.add_task("training a classifier that is used to missing cells", total=facts["steps"])
        params = classifiers.fit_classifier(
            network,
            source,
            **{name: facts[name] for name in ("seed", "steps", "batch_size", "learning_rate")},
            augment=with_gaps(make_augment(**facts["augment"]), removal),
            report=lambda step, loss: progress.update(task, completed=step),
        )
        progress.update(task, completed=facts["steps"])
    predict = jax.jit(classifiers.make_predict(network, params))
    found = predicted_classes(make_answer(predict, True), dataset.test)
    worth = {
        "accuracy": float((found == dataset.test.labels).mean()),
        "agreement": float((found == classes["test"]).mean()),
    }
    save_trees(path, {"params": params}, facts | worth)
    return UsedToGaps(predict, **worth)
