"""The training run: writes checkpoints, logs, pictures and `metrics.json` into a workdir, as a config says."""

import contextlib
import itertools
import json
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from rich.console import Console

from cae_jax import report
from cae_jax.config.reading import Config
from cae_jax.data import pair_batches
from cae_jax.parallel.processes import as_the_first_has_it, is_first
from cae_jax.parallel.sharding import split_batch
from cae_jax.progress import working
from cae_jax.training.checkpointer import Checkpointer
from cae_jax.training.interruption import Interruption
from cae_jax.training.monitor import Monitor
from cae_jax.training.plan import plan
from cae_jax.training.run import Run, prepare
from cae_jax.training.step import TrainState
from cae_jax.training.unfinished import forget_unfinished
from cae_jax.training.warmup import warm_up
from cae_jax.types import HostClassifier
from cae_jax.workdir.files import write_whole
from cae_jax.workdir.lock import hold
from cae_jax.workdir.record import SCORES, versions
from cae_jax.workdir.verdict import read_verdict

WARM = 3  # steps before a trace begins: the first ones compile and load


class _Start(NamedTuple):
    """Where a run begins: a state, its training time so far, and the facts of its checkpoint, or None without one."""

    state: TrainState
    seconds: float
    facts: Mapping[str, Any] | None


def _start(run: Run) -> _Start:
    """The state of the newest checkpoint; without one, a new state, after the warm-up if the config asks for it."""
    newest = None
    if is_first():
        run.store.sweep()
        newest = run.store.newest()
    step = as_the_first_has_it(-1 if newest is None else newest)
    if step >= 0:
        facts = run.store.facts(step)
        run.console.print(f"{run.workdir}: continuing from the checkpoint of step {step}", style="bold")
        state = run.store.load(step, "state", run.trainer.shapes())
        return _Start(state, facts["train_seconds"], facts)
    if run.config.train.warmup_steps:
        return _Start(*warm_up(run), None)
    began = time.monotonic()
    return _Start(run.trainer.init(), time.monotonic() - began, None)


def traced(
    batches: Iterator[Any], steps: int, monitor: Monitor, folder: pathlib.Path, console: Console
) -> Iterator[Any]:
    """Yields the batches unchanged, and records a JAX profiler trace while some of them are used.

    Args:
        batches: batches of a training run.
        steps: number of steps to trace, after the first `WARM` ones.
        monitor: monitor of the run, which waits for the step under way before and after the trace.
        folder: folder that the trace is written to.
        console: console for the message that says where the trace is.
    """
    yield from itertools.islice(batches, WARM)
    monitor.settle()
    count = 0
    with jax.profiler.trace(folder):
        for batch in itertools.islice(batches, steps):
            count += 1
            yield batch
        monitor.settle()
    if not count:
        console.print(f"there is no trace: fewer than {WARM + 1} steps were left to take", style="yellow")
        return
    console.print(
        f"a trace of {count} {'step' if count == 1 else 'steps'} is in {folder}: look at it with tensorboard --logdir "
        f"{folder} (pip install tensorboard-plugin-profile), or at its .trace.json.gz on ui.perfetto.dev",
        highlight=False,
    )
    yield from batches


def fit(run: Run, profile: int = 0) -> dict[str, Any]:
    """Trains to the configured step, from the newest checkpoint if there is one.

    On Ctrl-C and SIGTERM, a checkpoint is saved after the step under way. A checkpoint is saved only once the losses of
    all steps up to it were found finite.

    Args:
        run: run to train.
        profile: number of steps to trace with JAX's profiler; 0 for none.

    Returns:
        Facts of the last checkpoint: `train_seconds`, `images_per_second` (None if too few steps were timed) and
        `fault` (see `metrics.find_fault`).

    Raises:
        NonFiniteLoss: if a loss or norm is not finite; the last checkpoint is from before that.
        CheckpointError: if a checkpoint cannot be written.
        KeyboardInterrupt: after Ctrl-C.
        Terminated: after SIGTERM.
    """
    train = run.config.train
    state, earlier, facts = _start(run)
    start, began = int(state.step), time.monotonic()
    batches = pair_batches(run.sampler(train.batch_size), start, train.steps)
    log = {"start": start, "validated": facts is not None and "score" in facts, "log_every": train.log_every}
    with (
        Monitor(run.workdir, run.console, train.steps, **log, images=2 * train.batch_size) as monitor,
        Interruption() as interruption,
    ):
        checkpoint = Checkpointer(run, monitor)
        if facts is None and train.warmup_steps:
            checkpoint.save(state, earlier, None)  # so that the warm-up need not be done again
        if is_first():
            forget_unfinished(run.workdir)
        if start in run.store.steps():
            checkpoint.validate(state)
        if profile and is_first():
            batches = traced(batches, profile, monitor, run.workdir / "profile", run.console)
        for number, batch in enumerate(batches, start + 1):
            batch = split_batch(run.mesh, batch)
            state, terms = run.trainer.step(state, batch)
            if run.tutor is not None:
                state = run.tutor.teach(number, state, batch)
            interruption.take()  # not earlier: an interruption while the first call compiles loses nothing
            monitor.step(number, terms)
            if interruption.came(number - start) or checkpoint.due(number):
                monitor.settle()
                if interruption.wish:
                    run.console.print("interrupted; saving")
                checkpoint.save(state, earlier + time.monotonic() - began, monitor.images_per_second)
                interruption.obey()
                checkpoint.validate(state)
    newest = run.store.newest()
    assert newest is not None  # the last step is always saved
    facts = run.store.facts(newest)
    return {name: facts[name] for name in ("train_seconds", "images_per_second", "fault")}


def train(
    config: Config,
    workdir: pathlib.Path,
    console: Console,
    profile: int = 0,
    host_classifier: HostClassifier | None = None,
) -> dict[str, Any]:
    """Trains a CAE, or continues its training, then scores its best checkpoint on the test split.

    Args:
        config: config of the run, such as `presets` returns.
        workdir: folder of the run, made if it does not exist; holds `run.json`, `classifier/`, `oracle/`,
            `checkpoints/`, `pictures/`, `tensorboard/`, `log.jsonl` and, at the end, `metrics.json`.
        console: console for messages and progress.
        profile: number of steps to trace with JAX's profiler into `profile/`; 0 for none.
        host_classifier: function to explain instead of a classifier that the config names: images `[batch, height,
            width, channels]` in [0, 1], numpy arrays, to probabilities `[batch, K]`. JAX need not be able to trace it;
            a student of it is trained for the losses that ask. No folder holds it: hand it in again to go on, and to
            `Explainer.load`.

    Returns:
        The contents of `metrics.json`.

    Raises:
        ConfigError: for settings that contradict each other, the workdir or the data.
        DataUnavailable: if the data set cannot be obtained.
        OneClass: if the classifier gives all images of a split one class.
        CheckpointError: if a checkpoint cannot be written.
        NonFiniteLoss: if a loss or norm is not finite.
        KeyboardInterrupt: after Ctrl-C; progress is saved.
        Terminated: after SIGTERM; progress is saved.
    """
    with hold(workdir) if is_first() else contextlib.nullcontext():
        began = time.monotonic()
        run = plan(prepare(config, workdir, console, host_classifier), began)
        return _train(run, time.monotonic() - began, profile)


def _train(run: Run, prepare_seconds: float, profile: int) -> dict[str, Any]:
    config, workdir, console = run.config, run.workdir, run.console
    fitted = fit(run, profile)
    best = run.store.best()
    assert best is not None  # fit() ends with a checkpoint
    verdict = read_verdict(workdir, config, run.store.facts(best), config.train.steps)
    ema = run.store.load(best, "ema", run.trainer.shapes().ema)
    with working("scoring the best checkpoint on the test split", console):
        scores = run.evaluator("test").evaluate(ema, config.evaluation.swaps)
    result = {
        "classifier_accuracy": run.accuracy["classifier"],
        "oracle_accuracy": run.accuracy.get("oracle"),
        **scores,
        "verdict": verdict,
        "train_seconds": fitted["train_seconds"],
        "images_per_second": fitted["images_per_second"],
        "prepare_seconds": prepare_seconds,
        "steps": config.train.steps,
        "best_step": best,
        "data_source": run.dataset.name,
        "data_note": run.dataset.note,
        "seed": config.seed,
        "devices": f"{jax.device_count()} {jax.devices()[0].platform}",
        "versions": versions(),
    }
    if is_first():
        write_whole(workdir / SCORES, json.dumps(result, indent=1))
    console.print(report.metrics_table(result))
    if verdict:
        console.print(f"Not to be relied on: {verdict}", style="bold red")
    return result
