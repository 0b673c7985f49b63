"""The training run: from a config and a workdir to checkpoints, logs, pictures and `metrics.json`."""

import contextlib
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
from cae_jax.processes import as_the_first_has_it, is_first, wait_for_all
from cae_jax.training.config import Config
from cae_jax.training.errors import NonFiniteLoss
from cae_jax.training.evaluation import collapse_reason
from cae_jax.training.files import write_whole
from cae_jax.training.interruption import Interruption
from cae_jax.training.journal import Journal
from cae_jax.training.run import Run, prepare
from cae_jax.training.run_record import versions
from cae_jax.training.sharding import on_this_process, split_batch
from cae_jax.training.state import TrainState
from cae_jax.training.warmup import warm_up
from cae_jax.training.workdir_lock import hold

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
        if is_first():
            own = on_this_process(state)
            _draw_swaps(run, own.ema, step)
            run.store.save(step, {"state": own, "ema": own.ema}, facts)
        wait_for_all(f"checkpoint {step}")


def _restore(run: Run) -> tuple[TrainState, float, bool]:
    """The state to go on from, the seconds it has trained for, and whether it is new or of the newest checkpoint."""
    state = run.trainer.init()
    newest = None
    if is_first():
        run.store.sweep()
        newest = run.store.newest()
    step = as_the_first_has_it(-1 if newest is None else newest)
    if step < 0:
        began = time.monotonic()
        state = warm_up(run, state) if run.config.train.warmup_steps else state
        return state, time.monotonic() - began, True
    seconds = run.store.facts(step)["train_seconds"]
    run.console.print(f"{run.workdir}: continuing from the checkpoint of step {step}", style="bold")
    return run.store.load(step, "state", state), seconds, False


class Pace:
    """How fast steps follow each other, apart from what is between them.

    Attributes:
        images: of a step.
        images_per_second: of all steps timed so far; None before the first.
    """

    def __init__(self, images: int):
        self.images = images
        self.images_per_second: float | None = None
        self._last: float | None = None
        self._seconds, self._steps = 0.0, 0

    def pause(self) -> None:
        """Something else comes now: the next step is not timed."""
        self._last = None

    def tick(self) -> None:
        """A step has ended."""
        now = time.monotonic()
        if self._last is not None:
            self._seconds, self._steps = self._seconds + now - self._last, self._steps + 1
            self.images_per_second = self.images * self._steps / self._seconds
        self._last = now


def fit(run: Run) -> dict[str, Any]:
    """Trains to the configured step, from the newest checkpoint if there is one.

    Ctrl-C and SIGTERM save a checkpoint first. A step's losses are looked at while the next one runs, so that the
    device never waits for the host; no checkpoint is saved before they were found finite.

    Returns:
        `train_seconds`, `images_per_second` (None where too few steps were timed) and `collapsed` (a reason, or ''), as
        the last checkpoint has them.

    Raises:
        NonFiniteLoss: if a loss breaks; the last checkpoint is from before.
        KeyboardInterrupt: after Ctrl-C.
        Terminated: after SIGTERM.
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
    began, pace = time.monotonic(), Pace(2 * config.train.batch_size)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[losses]}"))
    progress = Progress(*columns, TimeRemainingColumn(), console=run.console)
    task = progress.add_task("training", total=config.train.steps, completed=start, losses="compiling")

    def look(number: int, terms: dict[str, jax.Array]) -> None:
        values = check_finite(terms, number)
        pace.tick()
        losses = f"generator {values['generator_total']:.2f} discriminator {values['discriminator_total']:.2f}"
        speed = f" {pace.images_per_second:.0f} images/s" if pace.images_per_second else ""
        progress.update(task, completed=number, losses=losses + speed)
        if number % config.train.log_every == 0:
            journal.write(number, "train", values)

    unseen: tuple[int, dict[str, jax.Array]] | None = None
    with contextlib.closing(journal), progress, Interruption() as interruption:
        for number, batch in enumerate(pair_batches(sampler, start, config.train.steps), start + 1):
            state, terms = run.trainer.step(state, split_batch(run.mesh, batch))
            if unseen:
                look(*unseen)
            unseen = number, terms
            last = number == config.train.steps or interruption.came(number)
            if last or number % config.train.checkpoint_every == 0:
                look(*unseen)
                if interruption.wish:
                    run.console.print("interrupted; saving")
                checkpoint(state, earlier + time.monotonic() - began, pace.images_per_second)
                pace.pause()
                unseen = None
                interruption.obey()
    newest = run.store.newest()
    assert newest is not None  # the last step is always saved
    return {name: run.store.facts(newest)[name] for name in ("train_seconds", "images_per_second", "collapsed")}


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
        KeyboardInterrupt: after Ctrl-C; what was done is saved.
        Terminated: likewise, after SIGTERM.
    """
    with hold(workdir) if is_first() else contextlib.nullcontext():
        return _train(config, workdir, console)


def _train(config: Config, workdir: pathlib.Path, console: Console) -> dict[str, Any]:
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
    if is_first():
        write_whole(workdir / "metrics.json", json.dumps(result, indent=1))
    console.print(report.metrics_table(result))
    return result
