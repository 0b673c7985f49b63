"""The training run: from a config and a workdir to checkpoints, logs, pictures and `metrics.json`."""

import contextlib
import json
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.profiling import StepProfile
from cae_jax import report
from cae_jax.config.reading import Config
from cae_jax.data import PairSampler, pair_batches
from cae_jax.errors import NonFiniteLoss
from cae_jax.parallel.processes import as_the_first_has_it, is_first
from cae_jax.parallel.sharding import split_batch
from cae_jax.training.checkpointer import Checkpointer
from cae_jax.training.interruption import Interruption
from cae_jax.training.monitor import Journal
from cae_jax.training.pace import Pace
from cae_jax.training.run import Run, prepare
from cae_jax.training.step import TrainState
from cae_jax.training.unfinished import forget_unfinished
from cae_jax.training.warmup import warm_up
from cae_jax.workdir.files import write_whole
from cae_jax.workdir.lock import hold
from cae_jax.workdir.record import versions


def check_finite(terms: Mapping[str, Any], step: int) -> dict[str, float]:
    """The terms of a step as numbers.

    Raises:
        NonFiniteLoss: naming those that are not finite.
    """
    values = {name: float(value) for name, value in terms.items()}
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        parts = [name for name in broken if not name.endswith("_total")] or broken
        raise NonFiniteLoss(
            f"at step {step} these losses are not finite: {', '.join(parts)}. The last checkpoint is from before; "
            f"try a lower optimizer.generator_rate or optimizer.discriminator_rate"
        )
    return values


class _Start(NamedTuple):
    """Where a run begins: a state, the seconds that it has trained for, and its checkpoint's facts, if it has one."""

    state: TrainState
    seconds: float
    facts: Mapping[str, Any] | None


def _start(run: Run) -> _Start:
    """A new state, warmed up, or that of the newest checkpoint."""
    newest = None
    if is_first():
        run.store.sweep()
        newest = run.store.newest()
    step = as_the_first_has_it(-1 if newest is None else newest)
    if step < 0:
        began = time.monotonic()
        state = run.trainer.init()
        if not run.config.train.warmup_steps:
            return _Start(state, time.monotonic() - began, None)
        return _Start(*warm_up(run, state), None)
    facts = run.store.facts(step)
    run.console.print(f"{run.workdir}: continuing from the checkpoint of step {step}", style="bold")
    return _Start(run.store.load(step, "state", run.trainer.shapes()), facts["train_seconds"], facts)


def fit(run: Run, profile: int = 0) -> dict[str, Any]:
    """Trains to the configured step, from the newest checkpoint if there is one.

    Ctrl-C and SIGTERM save a checkpoint after the step under way, before anything else is done. A step's losses are
    looked at while the next one runs, so that the device never waits for the host; no checkpoint is saved before they
    were found finite.

    Args:
        run: what is trained.
        profile: calls to trace, see `StepProfile`.

    Returns:
        `train_seconds`, `images_per_second` (None where too few steps were timed) and `collapsed` (a reason, or ''), as
        the last checkpoint has them.

    Raises:
        NonFiniteLoss: if a loss breaks; the last checkpoint is from before.
        CheckpointError: if a checkpoint cannot be written.
        KeyboardInterrupt: after Ctrl-C.
        Terminated: after SIGTERM.
    """
    config = run.config
    state, earlier, facts = _start(run)
    start = int(state.step)
    journal = Journal(run.workdir, start, facts is not None and "score" in facts)
    checkpoint = Checkpointer(run, journal)
    if facts is None and config.train.warmup_steps:
        checkpoint.save(state, earlier, None)  # so that it need not be done again
    if is_first():
        forget_unfinished(run.workdir)
    sampler = PairSampler(
        run.dataset.train,
        run.predictions["train"] if config.labels == "classifier" else run.dataset.train.labels,
        config.train.batch_size,
        config.seed,
        config.train.balanced,
        jax.process_index(),
        jax.process_count(),
    )
    began, pace = time.monotonic(), Pace(2 * config.train.batch_size)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[losses]}"))
    progress = Progress(*columns, TimeRemainingColumn(), console=run.console)
    task = progress.add_task("training", total=config.train.steps, completed=start, losses="compiling")

    def look(number: int, terms: dict[str, jax.Array]) -> None:
        fetched = jax.device_get(terms)
        pace.tick()
        values = check_finite(fetched, number)
        if number % config.train.log_every == 0:
            journal.write(number, "train", values)
        losses = f"generator {values['generator_total']:.2f} discriminator {values['discriminator_total']:.2f}"
        speed = f" {pace.images_per_second:.0f} images/s" if pace.images_per_second else ""
        progress.update(task, completed=number, losses=losses + speed)

    profiler = StepProfile(run.workdir / "profile", profile if is_first() else 0, run.trainer.step, run.console)
    unseen: tuple[int, dict[str, jax.Array]] | None = None
    with contextlib.closing(journal), progress, Interruption() as interruption:
        if start in run.store.steps():
            checkpoint.validate(state)
        for call, batch in enumerate(pair_batches(sampler, start, config.train.steps), 1):
            number = start + call
            profiler.before(call, state)
            shared = split_batch(run.mesh, batch)
            state, terms = run.trainer.step(state, shared)
            interruption.take()  # not before: while the first call compiles, nothing is lost
            profiler.after(call, state, shared)
            if unseen:
                look(*unseen)
            unseen = number, terms
            if interruption.came(call) or checkpoint.due(number):
                look(*unseen)
                if interruption.wish:
                    run.console.print("interrupted; saving")
                checkpoint.save(state, earlier + time.monotonic() - began, pace.images_per_second)
                interruption.obey()
                checkpoint.validate(state)
                pace.pause()
                unseen = None
    newest = run.store.newest()
    assert newest is not None  # the last step is always saved
    return {name: run.store.facts(newest)[name] for name in ("train_seconds", "images_per_second", "collapsed")}


def train(config: Config, workdir: pathlib.Path, console: Console, profile: int = 0) -> dict[str, Any]:
    """Trains a CAE, or goes on with it, then scores its best checkpoint on the test split.

    Args:
        config: see `presets`.
        workdir: made if need be; holds `run.json`, `classifier/`, `oracle/`, `checkpoints/`, `pictures/`,
            `tensorboard/`, `log.jsonl` and, at the end, `metrics.json`.
        console: for people.
        profile: calls of the compiled steps to trace, see `StepProfile`.

    Returns:
        The contents of `metrics.json`.

    Raises:
        ConfigError: for settings that contradict each other, the workdir or the data.
        DataUnavailable: if the data set cannot be had.
        CheckpointError: if a checkpoint cannot be written.
        NonFiniteLoss: if a loss breaks.
        KeyboardInterrupt: after Ctrl-C; what was done is saved.
        Terminated: likewise, after SIGTERM.
    """
    with hold(workdir) if is_first() else contextlib.nullcontext():
        return _train(config, workdir, console, profile)


def _train(config: Config, workdir: pathlib.Path, console: Console, profile: int) -> dict[str, Any]:
    began = time.monotonic()
    run = prepare(config, workdir, console)
    config = run.config
    prepared = time.monotonic() - began
    fitted = fit(run, profile)
    best = run.store.best()
    assert best is not None  # fit() ends with a checkpoint
    ema = run.store.load(best, "ema", run.trainer.shapes().ema)
    with console.status("scoring the best checkpoint on the test split"):
        scores = run.evaluator("test").evaluate(ema, config.evaluation.swaps)
    result = {
        "classifier_accuracy": run.accuracy["classifier"],
        "oracle_accuracy": run.accuracy["oracle"],
        **scores,
        **fitted,
        "prepare_seconds": prepared,
        "steps": config.train.steps,
        "best_step": best,
        "data_source": run.dataset.name,
        "data_note": run.dataset.note,
        "seed": config.seed,
        "devices": f"{jax.device_count()} {jax.devices()[0].platform}",
        "versions": versions(),
    }
    if is_first():
        write_whole(workdir / "metrics.json", json.dumps(result, indent=1))
    console.print(report.metrics_table(result))
    return result
