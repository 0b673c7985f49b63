"""A student: a small network that learns a black box's probabilities, so that training has gradients to follow.

Before training it learns the answers to views of the training images: augmented, every other one mixed with another.
While the generator trains, it learns the answers to swaps, as it would otherwise be convinced by patterns that the
black box does not see. Search, scores and endings of explanations never ask the student, only the black box itself.
"""

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from cae_jax import classifiers
from cae_jax import images as image_ranges
from cae_jax.classifiers import make_answer, predicted_classes
from cae_jax.config.reading import Config
from cae_jax.data import Augment, Dataset, make_augment
from cae_jax.descent import descend
from cae_jax.models import apply
from cae_jax.progress import WorkProgress
from cae_jax.training.objectives import UNWEIGHTED, Networks, generate, interleave
from cae_jax.training.step import TaughtState, TrainState, samples
from cae_jax.training.unfinished import Unfinished
from cae_jax.types import ImageSource
from cae_jax.workdir.checkpoints import MANIFEST, CheckpointError, load_tree, read_facts, save_trees
from cae_jax.workdir.classifier_store import LoadedClassifier

ARCHITECTURE = "small_cnn"
BATCH = 128  # views a step
VIEWS = 128  # batches of views that the black box is asked about; later steps see them again
STEPS = 1500
LEARNING_RATE = 3e-3
LESSONS = 4  # steps of training from one lesson on swaps to the next
SEED = 2000  # added to the run's seed, so that the student shares no randomness with classifier and oracle
POOR = 0.9  # share of validation images on which a student should agree with its black box

LESSON_OPTIMIZER = optax.adam(3e-4)

log = logging.getLogger(__name__)

Ask = Callable[[np.ndarray], np.ndarray]


class Student(NamedTuple):
    """A trained student.

    Attributes:
        network: module from images in [0, 1] to logits `[batch, K]`.
        params: parameters of the network.
        agreement: share of validation images that it gives the class that the black box gives them.
    """

    network: nn.Module
    params: Any
    agreement: float

    def predict(self, params: Any, images: jax.Array) -> jax.Array:
        """Probabilities `[batch, K]` of images in [0, 1], with these parameters."""
        return jax.nn.softmax(apply(self.network, params, images))

    def begin(self, state: TrainState) -> TaughtState:
        """The state of a training that begins, with the student in it."""
        rest = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
        return TaughtState(**rest, student=self.params, student_optimizer=LESSON_OPTIMIZER.init(self.params))


def make_views(augment: Augment) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Makes `(key, images) -> views in [0, 1]`, compiled: augmented, and about half of them mixed with another view.

    Shares are uniform in [0, 1] (mixup, Zhang et al. 2018, arXiv 1710.09412): a student that has seen nothing between
    the images would answer anything there.
    """

    @jax.jit
    def views(key: jax.Array, images: jax.Array) -> jax.Array:
        turn, choose, mix = jax.random.split(key, 3)
        x = augment(turn, images)
        one_each = (len(x), 1, 1, 1)
        share = jax.random.uniform(mix, one_each)
        return jnp.where(jax.random.bernoulli(choose, shape=one_each), share * x + (1.0 - share) * x[::-1], x)

    return views


def answer_loss(student: Student, params: Any, images: jax.Array, answers: jax.Array) -> jax.Array:
    """Mean cross entropy of a student's probabilities with the black box's, over images that have finite answers."""
    answered = jnp.isfinite(answers).all(-1)
    logits = apply(student.network, params, images)
    each = optax.softmax_cross_entropy(logits, jnp.where(answered[:, None], answers, 0.0))
    return each.sum() / jnp.maximum(answered.sum(), 1)


def _fit(
    student: Student,
    source: ImageSource,
    ask: Ask,
    augment: Augment,
    seed: int,
    unfinished: Unfinished,
    progress: WorkProgress,
) -> Any:
    """Trains a new student on views; the answers to them are part of the state that interruptions keep.

    Returns:
        Parameters.
    """
    key, views = jax.random.key(seed), make_views(augment)
    optimizer = optax.adamw(optax.cosine_onecycle_schedule(STEPS, LEARNING_RATE), weight_decay=1e-3)
    answers = np.full((VIEWS, min(BATCH, len(source)), student.network.num_classes), np.nan, np.float32)
    done, ((params, state), answers) = unfinished.resume(((student.params, optimizer.init(student.params)), answers))
    answers = np.array(answers)
    task = progress.add_task("the student learns the classifier's answers", total=STEPS, completed=done)

    def batches() -> Iterator[tuple[jax.Array, np.ndarray]]:
        for step in range(done, STEPS):
            batch = step % VIEWS
            rows = np.random.default_rng([seed, batch]).permutation(len(source))[:BATCH]
            images = views(jax.random.fold_in(key, batch), jnp.asarray(source.take(rows)))
            if step < VIEWS:
                answers[batch] = ask(np.asarray(images))
            yield images, answers[batch]

    def look(taken: int, state: tuple[Any, Any], loss: jax.Array) -> None:
        progress.update(task, completed=done + taken + 1)
        unfinished.after(done + taken + 1, (state, answers))

    return descend(lambda *batch: answer_loss(student, *batch), optimizer, (params, state), batches(), look)


def learn_or_load(
    config: Config,
    workdir: pathlib.Path,
    classifier: LoadedClassifier,
    dataset: Dataset,
    predictions: np.ndarray,
    console: Console,
) -> Student:
    """Trains a black box's student, or reads the one that a workdir has of it.

    Args:
        config: config of the run, for its seed and augmentation.
        workdir: folder of the run, which the student is kept in.
        classifier: the black box.
        dataset: images to learn on.
        predictions: the black box's classes of the validation images.
        console: console that shows progress.

    Returns:
        The student.

    Raises:
        ClassifierError: if the black box's answers are no probabilities.
        KeyboardInterrupt: after Ctrl-C; what was learned is kept.
        Terminated: likewise after SIGTERM.
    """
    folder, seed, augment = workdir / "student", config.seed + SEED, make_augment(**config.augment.to_dict())
    network = classifiers.make_classifier(ARCHITECTURE, dataset.num_classes)
    shape = (1, *dataset.image_shape)
    new = network.init(jax.random.key(seed), jnp.zeros(shape))["params"]
    student = Student(network, new, 0.0)
    facts = {"classifier": classifier.fingerprint, "data": dataset.fingerprint, "seed": seed, "steps": STEPS}
    if (folder / MANIFEST).exists():
        try:
            kept = read_facts(folder)
            if {name: kept.get(name) for name in facts} == facts:
                return student._replace(params=load_tree(folder, "params", new), agreement=kept["agreement"])
        except CheckpointError as error:
            log.warning("training the student again: %s", error)
    with Unfinished(folder.parent, folder.name, facts) as unfinished, WorkProgress(console) as progress:
        params = _fit(student, dataset.train, classifier.answer, augment, seed, unfinished, progress)
    answer = make_answer(lambda images: student.predict(params, images), traceable=True)
    agreement = float((predicted_classes(answer, dataset.validation) == predictions).mean())
    save_trees(folder, {"params": params}, facts | {"agreement": agreement})
    return student._replace(params=params, agreement=agreement)


class Tutor:
    """Asks the black box about swaps while the generator trains, and teaches the student its answers."""

    def __init__(self, student: Student, ask: Ask, networks: Networks, augment: Augment):
        """Takes the student, the black box, and the networks and augmentation of the training step."""
        self._ask = ask

        def draw(state: TaughtState, batch: dict[str, jax.Array]) -> jax.Array:
            key = jax.random.fold_in(state.key, state.step)
            x = samples(batch, augment, key, networks.model.stride)
            made = generate(networks.taught(state.student), UNWEIGHTED, state.generator, x, jax.random.fold_in(key, 1))
            assert made.swaps is not None
            seen = interleave(made.swaps.images, x)
            return image_ranges.from_model(seen, networks.image_size).clip(0.0, 1.0)

        def learn(state: TaughtState, images: jax.Array, answers: jax.Array) -> TaughtState:
            gradients = jax.grad(lambda params: answer_loss(student, params, images, answers))(state.student)
            updates, optimizer = LESSON_OPTIMIZER.update(gradients, state.student_optimizer, state.student)
            return state.replace(student=optax.apply_updates(state.student, updates), student_optimizer=optimizer)

        self._draw, self._learn = jax.jit(draw), jax.jit(learn, donate_argnums=0)

    def teach(self, number: int, state: TrainState, batch: dict[str, jax.Array]) -> TrainState:
        """Gives a lesson on the swaps of a batch, if one is due after step `number`; returns the state after it."""
        if number % LESSONS:
            return state
        assert isinstance(state, TaughtState)  # `Student.begin` has made it one
        images = self._draw(state, batch)
        return self._learn(state, images, self._ask(np.asarray(images)))
