"""Chooses how many steps a run takes from the minutes that it is given and from how long a step is measured to take."""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from cae_jax.config.reading import Config, ConfigError
from cae_jax.data import pair_batches
from cae_jax.parallel.processes import as_the_first_has_it, is_first
from cae_jax.parallel.sharding import split_batch
from cae_jax.progress import in_words, working
from cae_jax.training.evaluation import VALIDATION_SWAPS
from cae_jax.training.run import Run
from cae_jax.training.student import LESSONS
from cae_jax.training.warmup import warmup_pairs
from cae_jax.workdir.record import PLANNED, read_record, write_record

LEAST = 100  # steps; fewer teach nothing
RESERVE = 0.05  # share of the time that is kept back, since a machine is not always as fast as when it was measured


class Speed(NamedTuple):
    """Seconds that the parts of a run take.

    Attributes:
        step: a training step.
        warmup_step: a step of the warm-up; 0 without one.
        validation: a validation.
    """

    step: float
    warmup_step: float
    validation: float


def _timed(work: Callable[[], Any]) -> float:
    began = time.monotonic()
    jax.block_until_ready(work())
    return time.monotonic() - began


def measure(run: Run) -> Speed:
    """Takes a few steps and validates twice, on networks that are then thrown away; what is compiled is kept.

    Args:
        run: run that is to be planned.
    """
    trainer, train = run.trainer, run.config.train
    state = trainer.init()

    def steps(step: Any, pairs: int, teach: bool) -> float:
        """Seconds for a step; the first ones compile."""
        batches = pair_batches(run.sampler(pairs), 0, 2 * LESSONS)

        def some() -> Any:
            nonlocal state
            for number, batch in enumerate(itertools.islice(batches, LESSONS), 1):
                batch = split_batch(run.mesh, batch)
                state, terms = step(state, batch)
                if teach and run.tutor is not None:
                    state = run.tutor.teach(number, state, batch)
            return state, terms

        jax.block_until_ready(some())
        return _timed(some) / LESSONS

    warmup = steps(trainer.warmup_step, warmup_pairs(train.batch_size), teach=False) if trainer.warmup_step else 0.0
    each = steps(trainer.step, train.batch_size, teach=True)
    evaluator, swaps = run.evaluator("validation"), run.config.evaluation.swaps
    evaluator.validate(state.ema, swaps)
    return Speed(each, warmup, _timed(lambda: evaluator.validate(state.ema, swaps)))


def choose_steps(config: Config, spent: float, speed: Speed) -> Config:
    """The config with steps, warm-up and checkpoints that fit into `train.minutes`, in the proportions that it has.

    Args:
        config: config of the run.
        spent: seconds spent so far.
        speed: seconds of its parts.

    Raises:
        ConfigError: if there is no time for `LEAST` steps.
    """
    train = config.train
    checkpoints = -(-train.steps // train.checkpoint_every)
    warmups = train.warmup_steps / train.steps
    scoring = speed.validation * (checkpoints + max(config.evaluation.swaps / VALIDATION_SWAPS, 1.0))
    other, each = spent + scoring, speed.step + warmups * speed.warmup_step
    between = int(((1.0 - RESERVE) * 60.0 * train.minutes - other) / each / checkpoints)
    if between * checkpoints < LEAST:
        least = (other + LEAST * each) / (1.0 - RESERVE) / 60.0
        raise ConfigError(
            f"train.minutes is {train.minutes:g}, which leaves no time for {LEAST} steps of {speed.step:.2f} s after "
            f"{other:.0f} s for everything else; give it {math.ceil(least)} or more, start again (what is "
            f"trained so far is kept), or make images smaller (data.size)"
        )
    planned = config.copy_and_resolve_references()
    planned.train.update(
        steps=between * checkpoints,
        warmup_steps=round(warmups * between * checkpoints),
        checkpoint_every=between,
    )
    return planned


def plan(run: Run, began: float) -> Run:
    """Gives a run the steps that fit into `train.minutes`, and records them, so that later starts go on with the same.

    Args:
        run: run as it was prepared; where it has no `train.minutes`, or was planned already, it stays as it is.
        began: time at which the program began, as `time.monotonic` tells it.

    Raises:
        ConfigError: see `choose_steps`.
    """
    record = read_record(run.workdir)
    if not run.config.train.minutes or record.planned:
        return run
    with working("measuring how long a step takes", run.console):
        measured = (*measure(run), time.monotonic() - began)
    *parts, spent = (as_the_first_has_it(round(1e4 * seconds)) / 1e4 for seconds in measured)
    speed = Speed(*parts)
    config = choose_steps(run.config, spent, speed)
    train = config.train
    run.console.print(
        f"{train.minutes:g} minutes, {in_words(spent)} of them spent: {train.steps:,} steps of {speed.step:.3f} s"
        + (f" after {train.warmup_steps:,} steps of {speed.warmup_step:.3f} s of warm-up" if train.warmup_steps else "")
        + f"; a validation of {speed.validation:.1f} s after every {train.checkpoint_every:,}",
        highlight=False,
    )
    if is_first():
        asked = {key: run.config.train[key] for key in PLANNED}
        write_record(run.workdir, record._replace(config=config, planned=True, asked=asked))
    return dataclasses.replace(run, config=config, trainer=run.trainer._replace(init=run.build(config).init))
