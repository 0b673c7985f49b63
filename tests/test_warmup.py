"""The warm-up, on a few real digits."""

import dataclasses
import shutil
import signal
from typing import NamedTuple

import chex
import jax
import numpy as np
import pytest
from rich.console import Console
from small_run import small_config

from cae_jax.config import apply_overrides
from cae_jax.errors import Terminated
from cae_jax.images import to_model
from cae_jax.metrics import knn_accuracy
from cae_jax.training import loop, unfinished
from cae_jax.training.step import TrainState
from cae_jax.training.warmup import warm_up

STEPS = 120


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    paths = {f"{name}.path": str(trained[0] / name) for name in ("classifier", "oracle")}
    config = small_config(**paths, **{"train.warmup_steps": str(STEPS), "discriminator.kernel_init": "he"})
    return loop.prepare(config, tmp_path_factory.mktemp("runs") / "warm", Console(quiet=True))


@pytest.fixture(scope="module")
def states(run):
    return run.trainer.init(), warm_up(run)[0]


def code_accuracy(run, params):
    codes = [run.functions.encode(params, run.dataset.split(name).take(np.arange(60)))[1] for name in ("train", "test")]
    labels = [run.predictions[name][:60] for name in ("train", "test")]
    return knn_accuracy(np.asarray(codes[0]), labels[0], np.asarray(codes[1]), labels[1])


def test_class_codes_tell_the_classes_better_than_before(run, states):
    cold, warm = states
    assert code_accuracy(run, warm.generator) > code_accuracy(run, cold.generator) + 0.1


def test_the_discriminator_tells_the_classes_better_than_before(run, states):
    network, images = run.trainer.networks.discriminator, to_model(run.dataset.train.take(np.arange(200)), 8)
    logits = jax.jit(lambda params: jax.nn.log_softmax(network.apply({"params": params}, images)[1]))
    own = run.predictions["train"][:200]
    cold, warm = (np.take_along_axis(logits(state.discriminator), own[:, None], -1).mean() for state in states)
    assert warm > -np.log(10) > cold  # better than one answer to all, as likely as any


def reconstruction_error(run, params):
    images = run.dataset.validation.take(np.arange(60))
    drawn = run.functions.decode(params, *run.functions.encode(params, images))
    return float(np.abs(drawn - images / 255.0).mean())


def test_the_decoder_reconstructs_better_than_before(run, states):
    cold, warm = states
    assert reconstruction_error(run, warm.generator) < 0.8 * reconstruction_error(run, cold.generator)


def test_the_run_begins_from_there(states):
    cold, warm = states
    chex.assert_trees_all_equal(warm.ema, warm.generator)
    chex.assert_trees_all_equal(warm.generator_optimizer, cold.generator_optimizer)
    chex.assert_trees_all_equal(warm.discriminator_optimizer, cold.discriminator_optimizer)
    assert int(warm.step) == 0


class Again(NamedTuple):
    """A second warm-up, which was interrupted and went on: its steps, its end, and the log before it."""

    steps: list[int]
    state: TrainState
    seconds: float
    log: str


@pytest.fixture(scope="module")
def again(run, states):
    log = (run.workdir / "log.jsonl").read_text()
    shutil.rmtree(run.workdir / unfinished.FOLDER, ignore_errors=True)
    original, steps = unfinished.Unfinished.after, []

    def after(self, step, state, settle):
        steps.append(step)
        if step == 75:
            self._interruption.take()  # it has let go where half a minute was over a step ago
            signal.raise_signal(signal.SIGTERM)
        original(self, step, state, settle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unfinished.Unfinished, "after", after)
        with pytest.raises(Terminated):
            warm_up(run)
        state, seconds = warm_up(run)
    shutil.rmtree(run.workdir / unfinished.FOLDER)
    return Again(steps, state, seconds, log)


def test_it_repeats_and_the_step_goes_on_from_it(states, again):
    cold, warm = states
    chex.assert_trees_all_equal(warm.generator, again.state.generator)
    chex.assert_trees_all_equal(warm.discriminator, again.state.discriminator)
    places = jax.tree.map(lambda a, b: a.sharding == b.sharding, warm.generator, cold.generator)
    assert all(jax.tree.leaves(places))


def test_interrupted_it_goes_on_to_the_same_bits(run, states, again):
    _, warm = states
    assert again.steps == [*range(1, 76), *range(76, STEPS + 1)]
    chex.assert_trees_all_equal(warm.generator, again.state.generator)
    chex.assert_trees_all_equal(warm.discriminator, again.state.discriminator)
    assert again.seconds > 0
    assert (run.workdir / "log.jsonl").read_text() == again.log


def steps_of_two_starts(run, other, monkeypatch):
    """The numbers of the steps that a start takes before a signal, and another one after it."""
    original, steps = unfinished.Unfinished.after, []

    def after(self, step, state, settle):
        steps.append(step)
        self._interruption.take()
        signal.raise_signal(signal.SIGTERM)
        original(self, step, state, settle)

    monkeypatch.setattr(unfinished.Unfinished, "after", after)
    for start in (run, other):
        with pytest.raises(Terminated):
            warm_up(start)
    shutil.rmtree(run.workdir / unfinished.FOLDER)
    return steps


@pytest.mark.parametrize("other", [{}, {"data": "another"}, {"classifier": "another"}, {"seed": -1}])
def test_it_goes_on_only_with_what_it_learned_from(run, states, monkeypatch, other):
    second = dataclasses.replace(run, learned_from=run.learned_from | other)
    assert steps_of_two_starts(run, second, monkeypatch) == ([1, 1] if other else [1, 2])


@pytest.mark.parametrize(
    ("key", "value", "steps"),
    [
        ("train.log_every", "7", [1, 2]),
        ("train.checkpoint_every", "7", [1, 2]),
        ("evaluation.swaps", "70", [1, 2]),
        ("loss.image", "7", [1, 1]),
    ],
)
def test_it_goes_on_with_other_settings_of_what_comes_later(run, states, monkeypatch, key, value, steps):
    second = dataclasses.replace(run, config=apply_overrides(run.config, {key: value}))
    assert steps_of_two_starts(run, second, monkeypatch) == steps


def test_a_run_interrupted_before_its_first_step_does_not_warm_up_again(run, states, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    calls = []
    monkeypatch.setattr(loop, "warm_up", lambda *_: calls.append(1) or (states[1], 7.0))
    stopped = dataclasses.replace(run, trainer=run.trainer._replace(step=interrupt))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            loop.fit(stopped)
    assert len(calls) == 1
    assert run.store.newest() == 0
    facts = run.store.facts(0)
    assert facts["validated"]
    assert facts["train_seconds"] == 7.0
    kept = run.store.load(0, "state", run.trainer.init())
    chex.assert_trees_all_equal(kept.generator, states[1].generator)
