"""Saves the checkpoints of a run, validates them, draws sample swaps, and warns of collapse."""

from typing import Any

import numpy as np

from cae_jax import metrics, report
from cae_jax.images import to_unit
from cae_jax.parallel.processes import is_first, wait_for_all
from cae_jax.parallel.sharding import on_this_process
from cae_jax.training.monitor import Monitor
from cae_jax.training.run import Run
from cae_jax.training.step import TrainState

GRID_COLUMNS = 12
LEARNING = 400  # steps before which it is normal that class codes carry no information


def _draw_swaps(run: Run, params: Any, step: int) -> None:
    """Saves a picture of exemplars, reconstructions, donors and swaps; the validation images are the same each time."""
    encode, decode = run.functions.encode_to_swap, run.functions.decode
    source = run.dataset.validation
    exemplars, donors = metrics.draw_swaps(run.predictions["validation"], GRID_COLUMNS, run.config.seed)
    individual, _ = encode(params, source.take(exemplars))
    _, donor_codes = encode(params, source.take(donors))
    grid = report.picture_grid(
        {
            "exemplar": np.asarray(to_unit(source.take(exemplars))),
            "reconstruction": np.asarray(run.functions.reconstruct(params, source.take(exemplars))),
            "donor": np.asarray(to_unit(source.take(donors))),
            "swap": np.asarray(decode(params, individual, donor_codes)),
        }
    )
    folder = run.workdir / "pictures"
    folder.mkdir(exist_ok=True)
    grid.save(folder / f"swaps_{step:08d}.png")


class Checkpointer:
    """Saves checkpoints first, and only then validates them, draws sample swaps and warns of collapse.

    So a signal to end never has to wait for the compilation that validation needs. A checkpoint that was saved but not
    validated because of an interruption is validated at the next start. A checkpoint that an interruption saved at a
    step where none was scheduled only serves to continue: it is never validated, so that an interrupted run chooses the
    same best checkpoint as an uninterrupted one.
    """

    def __init__(self, run: Run, monitor: Monitor):
        self._run, self._monitor = run, monitor
        self._evaluator = run.evaluator("validation")

    def due(self, step: int) -> bool:
        """Whether a checkpoint is scheduled after a step: every `train.checkpoint_every` steps and at the last one."""
        train = self._run.config.train
        return step % train.checkpoint_every == 0 or step == train.steps

    def save(self, state: TrainState, seconds: float, speed: float | None) -> None:
        """Saves a checkpoint; it is on disk when this returns.

        Args:
            state: state to save.
            seconds: training time so far.
            speed: images per second, or None if too few steps were timed.

        Raises:
            CheckpointError: if it cannot be written.
        """
        step = int(state.step)
        facts = {"step": step, "validated": False, "train_seconds": seconds, "images_per_second": speed}
        if is_first():
            own = on_this_process(state)
            self._run.store.save(step, {"state": own, "ema": own.ema}, facts)
        wait_for_all("checkpoint")

    def validate(self, state: TrainState) -> None:
        """Validates the saved checkpoint of a state and draws sample swaps, if it is scheduled and not validated yet.

        Scores are logged; the `score` that checkpoints are compared by and the `fault` that was found, if any, are
        noted in the checkpoint's facts. A warning says if the model has collapsed.
        """
        run, step = self._run, int(state.step)
        facts = run.store.facts(step)
        if not self.due(step) or "score" in facts:
            return
        with self._monitor.busy(f"validating step {step}"):
            scores = self._evaluator.validate(state.ema, run.config.evaluation.swaps)
        self._monitor.write(step, "validation", scores)
        judges = {"oracle": "swap_oracle_rate", "SVM": "swap_svm_rate"}
        said = ", ".join(f"{name} {scores[key]:.3f}" for name, key in judges.items() if key in scores)
        line = (
            f"step {step}: of swaps {scores['swap_flip_rate']:.3f} flip{f' ({said})' if said else ''}, "
            f"of reconstructions {scores['reconstruction_keep_rate']:.3f} keep their class, L1 "
            f"{scores['reconstruction_l1']:.3f}, class code kNN {scores['class_code_knn_accuracy']:.3f}"
        )
        run.console.print(line, highlight=False)
        fault = metrics.find_fault(scores, self._evaluator.chance)
        if fault.startswith("collapsed") and step >= min(run.config.train.steps, LEARNING):
            run.console.print(f"step {step}: {fault}", style="bold red")
        if is_first():
            _draw_swaps(run, on_this_process(state).ema, step)
            found = {"validated": True, "score": metrics.validation_score(scores), "fault": fault}
            run.store.change_facts(step, facts | found)
        wait_for_all("validation")
