"""The student of a black box: what it learns, when it is asked for, and that swaps teach it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published import draw_params
from rich.console import Console
from small_run import small_config

from cae_jax import Explainer
from cae_jax.classifiers import Identity, make_classifier
from cae_jax.config import presets
from cae_jax.config.check import check_differentiable
from cae_jax.config.reading import ConfigError
from cae_jax.data import SPLITS, ArraySource, Dataset, make_augment, pair_batches
from cae_jax.parallel.sharding import data_mesh, split_batch
from cae_jax.training import build, loop, student, unfinished
from cae_jax.training.student import Student, answer_loss, learn_or_load, make_views
from cae_jax.workdir.classifier_store import LoadedClassifier

STILL = make_augment(0, 0.0, False)
QUIET = Console(quiet=True)


def bright_or_dark(images):
    """A black box: the brighter, the more it is of class 1. It has no answer to an image that is all black."""
    bright = 1.0 / (1.0 + np.exp(-20.0 * (np.asarray(images).mean((1, 2, 3)) - 0.5)))
    bright = np.where(np.asarray(images).max((1, 2, 3)) == 0, np.nan, bright)
    return np.stack([1.0 - bright, bright], -1).astype(np.float32)


def grey(count, seed):
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 255, (count, 1, 1, 1)) + rng.uniform(-20, 20, (count, 16, 16, 1))
    return ArraySource(images.clip(1, 255).astype(np.uint8), np.zeros(count, np.int32))


@pytest.fixture(scope="module")
def dataset():
    return Dataset("grey", ("dark", "bright"), grey(200, 0), grey(50, 1), grey(50, 2))


def loaded(answer, files):
    return LoadedClassifier(answer, answer, None, {"path": "mine"}, False, Identity({}, {}, files))


def learn(workdir, dataset, answer=bright_or_dark, files=()):
    classes = bright_or_dark(dataset.validation.take(np.arange(50)) / 255.0).argmax(-1)
    return learn_or_load(presets.official(), workdir, loaded(answer, list(files)), dataset, classes, QUIET)


@pytest.fixture
def quick(monkeypatch):
    for name, value in {"BATCH": 32, "STEPS": 80, "VIEWS": 20}.items():
        monkeypatch.setattr(student, name, value)


@pytest.mark.usefixtures("compiled_well")
def test_a_student_agrees_with_its_black_box_and_asks_about_each_view_once(quick, dataset, tmp_path, caplog):
    asked = []

    def answer(images):
        asked.append(np.asarray(images))
        return bright_or_dark(images)

    found = learn(tmp_path, dataset, answer)
    assert [images.shape for images in asked] == [(32, 16, 16, 1)] * 20
    assert not np.array_equal(asked[0], asked[1])
    assert found.agreement > 0.9
    images = dataset.test.take(np.arange(50)) / np.float32(255)
    own, theirs = found.predict(found.params, jnp.asarray(images)), bright_or_dark(images)
    assert np.abs(own - theirs).mean() < 0.1
    again = learn(tmp_path, dataset, lambda images: pytest.fail("it was asked again"))
    assert again.agreement == found.agreement
    jax.tree.map(np.testing.assert_array_equal, again.params, found.params)
    (tmp_path / "student" / "manifest.json").write_text("{")
    again = learn(tmp_path, dataset)
    jax.tree.map(np.testing.assert_array_equal, again.params, found.params)
    assert "training the student again" in caplog.text  # a damaged one


@pytest.mark.usefixtures("compiled_well")
def test_of_another_black_box_another_student_is_trained(quick, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(student, "STEPS", 1)
    asked = []

    def answer(images):
        asked.append(len(images))
        return bright_or_dark(images)

    learn(tmp_path, dataset, answer)
    learn(tmp_path, dataset, answer, files=[[0.5]])
    assert asked == [32, 32]


@pytest.mark.usefixtures("compiled_well")
def test_an_interrupted_student_goes_on_and_asks_about_the_other_views_only(quick, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(student, "STEPS", 6)
    monkeypatch.setattr(student, "VIEWS", 4)
    monkeypatch.setattr(unfinished, "EVERY", 0.0)  # every step is kept
    whole, asked = learn(tmp_path / "whole", dataset), []

    def answer(images):
        asked.append(np.asarray(images))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return bright_or_dark(images)

    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path, dataset, answer)
    found = learn(tmp_path, dataset, answer)
    assert len(asked) == 5
    np.testing.assert_array_equal(asked[2], asked[3])  # the third is asked again, the first two are not
    jax.tree.map(np.testing.assert_array_equal, found.params, whole.params)


def test_about_half_of_the_views_are_mixed_with_another():
    images = jnp.asarray(np.repeat([0.0, 1.0], 200), jnp.float32).reshape(400, 1, 1, 1)
    views = np.asarray(make_views(STILL)(jax.random.key(0), images)).ravel()
    mixed = (views > 0) & (views < 1)
    assert 0.4 < mixed.mean() < 0.6
    assert np.histogram(views[mixed], bins=4, range=(0, 1))[0].min() > 20
    assert (views[~mixed] == np.asarray(images).ravel()[~mixed]).all()


def test_images_without_a_finite_answer_teach_nothing():
    network = make_classifier("small_cnn", 2)
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(3, 16, 16, 1)), jnp.float32).at[1].set(0.0)
    params = draw_params(network, 0, images)
    learner = Student(network, params, 0.0)
    answers = jnp.asarray(bright_or_dark(images))
    assert np.isnan(answers[1]).all()
    loss = lambda params, images, answers: answer_loss(learner, params, images, answers)  # noqa: E731
    found = jax.jit(loss)(params, images, answers)
    probabilities = np.asarray(jax.jit(learner.predict)(params, images))
    expected = -np.mean([(np.asarray(answers[i]) * np.log(probabilities[i])).sum() for i in (0, 2)])
    assert float(found) == pytest.approx(expected, rel=1e-4)
    gradients = jax.jit(jax.grad(loss))(params, images[1:2], answers[1:2])
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(gradients))


MINE = """
import numpy as np
def predict(images):
    bright = 1 / (1 + np.exp(-40 * (np.asarray(images)[:, :14].mean((1, 2, 3)) - 0.13)))
    return np.stack([1 - bright, bright], -1).astype(np.float32)
"""


@pytest.fixture
def config(quick, monkeypatch, digits, tmp_path):
    """A run's, of a black box that knows two classes of digits: those of dark upper halves, and of bright ones."""
    images = [digits.split(split).take(np.arange(len(digits.split(split)))) for split in SPLITS]
    sources = [ArraySource(x, (x[:, :14].mean((1, 2, 3)) > 0.13 * 255).astype(np.int32)) for x in images]
    monkeypatch.setattr("cae_jax.training.run.open_dataset", lambda *_: Dataset("halves", ("dark", "bright"), *sources))
    (tmp_path / "mine.py").write_text(MINE)
    config = small_config(**{"model.answers": "True", "oracle.steps": "0", "train.checkpoint_every": "6"})
    config.classifier.update(path=str(tmp_path / "mine.py:predict"), kind="python", head="probabilities")
    return config


def changed(before, after):
    """Whether any number of a tree is another one."""
    return not jax.tree.all(jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), before, after))


def test_a_black_box_is_explained_by_losses_that_ask_its_student(config, tmp_path):
    console = Console(record=True, width=300)
    result = loop.train(config, tmp_path / "run", console)
    said = console.export_text()
    assert "loss.consistency, loss.fidelity, model.answers, model.individual_answers ask a student of it" in said
    assert result["steps"] == 6
    logged = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["consistency"]) for line in logged if line["kind"] == "train")
    run = loop.prepare(config, tmp_path / "run", QUIET)
    begun, last = run.trainer.init(), run.store.load(6, "state", run.trainer.shapes())
    assert changed(begun.student, last.student)  # by the lesson after step 4
    batch = split_batch(run.mesh, next(pair_batches(run.sampler(4), 6, 7)))
    assert run.tutor.teach(7, last, batch) is last
    before = jax.tree.map(np.array, (last.student, last.generator))  # a lesson takes over its state's memory
    taught = run.tutor.teach(8, last, batch)
    assert changed(before[0], taught.student)
    assert not changed(before[1], taught.generator)
    explainer = Explainer.load(tmp_path / "run")
    explainer._dataset = run.dataset
    found = explainer.explain(run.dataset.test.take(np.arange(4)), "any", confidence=0.2)
    assert found.prediction.tolist() == run.predictions["test"][:4].tolist()


def test_a_function_that_is_handed_in_is_trained_for_explained_and_known_again(config, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(student, "STEPS", 1)
    scope: dict = {}
    exec(MINE, scope)
    mine, run = scope["predict"], tmp_path / "run"
    with pytest.raises(ConfigError, match=r"classifier\.path is .*mine\.py:predict, and a function was handed in"):
        loop.train(config, run, QUIET, host_classifier=mine)
    config.classifier.path = ""
    result = loop.train(config, run, QUIET, host_classifier=mine)
    assert result["classifier_accuracy"] == 1.0  # it is what the labels were made by
    assert loop.train(config, run, QUIET, host_classifier=mine)["swap_flip_rate"] == result["swap_flip_rate"]
    with pytest.raises(ConfigError, match=r"answers .*or train in another --workdir"):
        loop.train(config, run, QUIET, host_classifier=lambda images: mine(images)[:, ::-1])
    with pytest.raises(ConfigError, match=r"which no folder holds; hand it in again: train\(\.\.\., host_classifier"):
        Explainer.load(run)
    explainer = Explainer.load(run, host_classifier=mine)
    assert "not known" not in caplog.text
    explainer._dataset = loop.prepare(config, run, QUIET, mine).dataset
    np.testing.assert_allclose(explainer.predict(np.zeros((1, 28, 28))), mine(np.zeros((1, 28, 28, 1))), rtol=1e-5)
    explainer.save_package(tmp_path / "package")
    assert "a function that was handed in (not included; hand it in" in (tmp_path / "package" / "README.md").read_text()
    Explainer.load(run, host_classifier=lambda images: mine(images)[:, ::-1])
    assert "not known to be the one" in caplog.text


def test_a_student_that_agrees_too_rarely_is_warned_of(config, tmp_path, monkeypatch):
    monkeypatch.setattr(student, "STEPS", 1)
    console = Console(record=True, width=300)
    loop.prepare(config, tmp_path / "run", console)
    assert "That is few: swaps may flip the student" in " ".join(console.export_text().split())


@pytest.mark.parametrize("taught", [True, False])
def test_a_black_box_s_own_labels_are_not_replaced_by_its_student_s(dataset, monkeypatch, taught):
    relabel = []
    original = build.make_train_step
    keep = lambda *rest, **how: (relabel.append(how["relabel"]), original(*rest, **how))[1]  # noqa: E731
    monkeypatch.setattr(build, "make_train_step", keep)
    config = presets.official()
    config.loss.consistency = 1.0
    config.labels = "classifier"
    teacher = Student(*[None] * len(Student._fields)) if taught else lambda images: images
    build.build_trainer(config, data_mesh(), (16, 16, 1), 2, teacher)
    assert relabel == [not taught]


def test_a_step_that_asks_a_classifier_is_not_built_without_one():
    with pytest.raises(ValueError, match=r"loss.consistency, loss.fidelity, .* ask a classifier, and there is none"):
        build.build_trainer(presets.default(), data_mesh(), (28, 28, 1), 2, None)


def test_several_processes_have_no_student(config, monkeypatch):
    check_differentiable(config, False)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ConfigError, match="need a classifier that JAX can differentiate where several processes train"):
        check_differentiable(config, False)
    check_differentiable(config, True)
