"""The training run: from a config and a workdir to checkpoints, logs, pictures and `metrics.json`."""

import json
import math
import pathlib
import time
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cae_jax import metrics, report
from cae_jax.data import PairSampler, make_augment, pair_batches
from cae_jax.images import to_unit
from cae_jax.training.config import Config
from cae_jax.training.errors import NonFiniteLoss
from cae_jax.training.evaluation import collapse_reason
from cae_jax.training.files import write_whole
from cae_jax.training.journal import Journal
from cae_jax.training.run import Run, prepare
from cae_jax.training.run_record import versions
from cae_jax.training.sharding import split_batch
from cae_jax.training.state import TrainState
from cae_jax.training.warmup import warm_up

GRID_COLUMNS = 12
LEARNING = 400  # steps before which a class code that carries nothing is no news


def check_finite(terms: dict[str, jax.Array], step: int) -> dict[str, float]:
    """Fetches the terms of a step.

    Raises:
        NonFiniteLoss: naming those that are not finite.
    """
    values = {name: float(value) for name, value in jax.device_get(terms).items()}
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        parts = [name for name in broken if not name.endswith("_total")] or broken
        raise NonFiniteLoss(
            f"at step {step} these losses are not finite: {', '.join(parts)}. The last checkpoint is from before; "
            f"try a lower optimizer.generator_rate or optimizer.discriminator_rate"
        )
    return values


def validation_score(scores: dict[str, float]) -> float:
    """What the best checkpoint is chosen by; the oracle has no say in it.

    The mean probability of the donors' classes in swaps, times that of the images' own classes in reconstructions,
    times one minus the reconstructions' L1, divided by one plus the swaps' change. Rates instead of probabilities would
    differ by a digit or two of a few hundred; without the third factor a blurred early checkpoint wins by as little,
    and without the last one that redraws more of the individual than the class asks for. Times one minus the change
    would decide alone where swaps have to change much: on X-rays it took a checkpoint that fools the classifier.
    """
    faithful = scores["swap_probability"] * scores["reconstruction_probability"]
    return faithful * (1.0 - scores["reconstruction_l1"]) / (1.0 + scores["swap_change"])


def _draw_swaps(run: Run, params: Any, step: int) -> None:
    """Writes exemplar, reconstruction, donor and swap of random validation images, the same ones every time."""
    encode, decode = run.functions.encode, run.functions.decode
    source = run.dataset.validation
    exemplars, donors = metrics.draw_swaps(run.predictions["validation"], GRID_COLUMNS, run.config.seed)
    individual_codes, _ = encode(params, source.take(exemplars))
    _, donor_codes = encode(params, source.take(donors))
    grid = report.picture_grid(
        {
            "exemplar": np.asarray(to_unit(source.take(exemplars))),
            "reconstruction": np.asarray(run.functions.reconstruct(params, source.take(exemplars))),
            "donor": np.asarray(to_unit(source.take(donors))),
            "swap": np.asarray(decode(params, individual_codes, donor_codes)),
        }
    )
    folder = run.workdir / "pictures"
    folder.mkdir(exist_ok=True)
    grid.save(folder / f"swaps_{step:08d}.png")


class Checkpointer:
    """What happens at every checkpoint: validate, draw, save, and watch for collapse.

    Attributes:
        collapsed: why the class code carries nothing, or ''; as of the last checkpoint.
    """

    def __init__(self, run: Run, journal: Journal):
        self._run, self._journal = run, journal
        self._evaluator = run.evaluator("validation")
        self.collapsed = ""

    def __call__(self, state: TrainState, seconds: float, speed: float | None) -> None:
        """Validates and saves a state that has trained for some seconds, at some images a second."""
        run, step = self._run, int(state.step)
        scores = self._evaluator.validate(state.ema)
        self._journal.write(step, "validation", scores)
        _draw_swaps(run, state.ema, step)
        line = (
            f"step {step}: of swaps {scores['swap_flip_rate']:.3f} flip (oracle {scores['swap_oracle_rate']:.3f}), "
            f"of reconstructions {scores['reconstruction_keep_rate']:.3f} keep their class, L1 "
            f"{scores['reconstruction_l1']:.3f}, class code kNN {scores['class_code_knn_accuracy']:.3f}"
        )
        run.console.print(line, highlight=False)
        early = step < min(run.config.train.steps, LEARNING)
        self.collapsed = "" if early else collapse_reason(scores, self._evaluator.chance)
        if self.collapsed:
            run.console.print(
                f"COLLAPSE at step {step}: {self.collapsed}. Try another seed, a lower "
                f"optimizer.discriminator_rate or a higher loss.gradient_penalty.",
                style="bold red",
            )
        facts = {
            "step": step,
            "score": validation_score(scores),
            "train_seconds": seconds,
            "images_per_second": speed,
            "collapsed": self.collapsed,
        }
        run.store.save(step, {"state": state, "ema": state.ema}, facts)


def _restore(run: Run) -> tuple[TrainState, float, bool]:
    """The state to go on from, the seconds it has trained for, and whether it is new or of the newest checkpoint."""
    state = run.trainer.init()
    step = run.store.newest()
    if step is None:
        began = time.monotonic()
        state = warm_up(run, state) if run.config.train.warmup_steps else state
        return state, time.monotonic() - began, True
    seconds = run.store.facts(step)["train_seconds"]
    run.console.print(f"{run.workdir}: continuing from the checkpoint of step {step}", style="bold")
    return run.store.load(step, "state", state), seconds, False


def fit(run: Run) -> dict[str, Any]:
    """Trains to the configured step, from the newest checkpoint if there is one.

    Ctrl-C saves a checkpoint first.

    Returns:
        `train_seconds`, `images_per_second` (None where too few steps were timed) and `collapsed` (a reason, or ''), as
        the last checkpoint has them.
    """
    config = run.config
    state, earlier, new = _restore(run)
    start = int(state.step)
    journal = Journal(run.workdir, start)
    checkpoint = Checkpointer(run, journal)
    if new and config.train.warmup_steps:
        checkpoint(state, earlier, None)  # so that it need not be done again
    sampler = PairSampler(
        run.dataset.train,
        run.predictions["train"] if config.labels == "classifier" else run.dataset.train.labels,
        config.train.batch_size,
        config.seed,
        make_augment(**config.augment.to_dict()),
        config.train.balanced,
        jax.process_index(),
        jax.process_count(),
    )
    began = time.monotonic()
    step_seconds, counted, saved = 0.0, 0, start
    speed: float | None = None
    seconds = lambda: earlier + time.monotonic() - began  # noqa: E731
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[losses]}"))
    with Progress(*columns, TimeRemainingColumn(), console=run.console) as progress:
        task = progress.add_task("training", total=config.train.steps, completed=start, losses="compiling")
        try:
            for number, batch in enumerate(pair_batches(sampler, start, config.train.steps), start + 1):
                tick = time.monotonic()
                state, terms = run.trainer.step(state, split_batch(run.mesh, batch))
                values = check_finite(terms, number)
                if number > start + 1:  # the first step compiles
                    step_seconds, counted = step_seconds + time.monotonic() - tick, counted + 1
                    speed = counted * 2 * config.train.batch_size / step_seconds
                losses = f"generator {values['generator_total']:.2f} discriminator {values['discriminator_total']:.2f}"
                progress.update(task, completed=number, losses=f"{losses} {speed or 0.0:.0f} images/s")
                if number % config.train.log_every == 0:
                    journal.write(number, "train", values)
                if number % config.train.checkpoint_every == 0 or number == config.train.steps:
                    checkpoint(state, seconds(), speed)
                    saved = number
        except KeyboardInterrupt:
            if int(state.step) > saved:
                run.console.print("interrupted; saving")
                checkpoint(state, seconds(), speed)
            raise
        finally:
            journal.close()
    last = run.store.newest()
    assert last is not None  # the last step is always saved
    return {name: run.store.facts(last)[name] for name in ("train_seconds", "images_per_second", "collapsed")}


def train(config: Config, workdir: pathlib.Path, console: Console) -> dict[str, Any]:
    """Trains a CAE, or goes on with it, then scores its best checkpoint on the test split.

    Args:
        config: see `presets`.
        workdir: made if need be; holds `run.json`, `classifier/`, `oracle/`, `checkpoints/`, `pictures/`,
            `tensorboard/`, `log.jsonl` and, at the end, `metrics.json`.
        console: for people.

    Returns:
        The contents of `metrics.json`.

    Raises:
        ConfigError: for settings that contradict each other, the workdir or the data.
        DataUnavailable: if the data set cannot be had.
        CheckpointError: if a checkpoint cannot be written.
        NonFiniteLoss: if a loss breaks.
    """
    began = time.monotonic()
    run = prepare(config, workdir, console)
    prepared = time.monotonic() - began
    fitted = fit(run)
    best = run.store.best()
    assert best is not None  # fit() ends with a checkpoint
    ema = run.store.load(best, "ema", run.trainer.init().ema)
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
    write_whole(workdir / "metrics.json", json.dumps(result, indent=1))
    console.print(report.metrics_table(result))
    return result
