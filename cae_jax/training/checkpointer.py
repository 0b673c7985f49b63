"""What happens at every checkpoint of a run: it is saved, validated, drawn, and watched for collapse."""

from typing import Any

import numpy as np

from cae_jax import metrics, report
from cae_jax.images import to_unit
from cae_jax.parallel.processes import is_first, wait_for_all
from cae_jax.parallel.sharding import on_this_process
from cae_jax.training.evaluation import collapse_reason
from cae_jax.training.monitor import Monitor
from cae_jax.training.run import Run
from cae_jax.training.step import TrainState

GRID_COLUMNS = 12
LEARNING = 400  # steps before which a class code that carries nothing is no news


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
    """What happens at every checkpoint: it is saved, and only then validated, drawn, and watched for collapse.

    So a signal, whenever it comes, never has to wait for a compiler. What was interrupted in between is validated at
    the next start. A checkpoint at a step that `train.checkpoint_every` does not give, where a run was interrupted, is
    there to go on from: it is never validated, so that the run ends with the same choices as one that was not.
    """

    def __init__(self, run: Run, monitor: Monitor):
        self._run, self._monitor = run, monitor
        self._evaluator = run.evaluator("validation")

    def due(self, step: int) -> bool:
        """Whether a run that is not interrupted has a checkpoint after a step."""
        train = self._run.config.train
        return step % train.checkpoint_every == 0 or step == train.steps

    def save(self, state: TrainState, seconds: float, speed: float | None) -> None:
        """Saves a state that has trained for some seconds, at some images a second; it is on disk when this returns.

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
        """Validates and draws the checkpoint of a state, if it is due and that has not been done."""
        run, step = self._run, int(state.step)
        facts = run.store.facts(step)
        if not self.due(step) or "score" in facts:
            return
        scores = self._evaluator.validate(state.ema)
        self._monitor.write(step, "validation", scores)
        line = (
            f"step {step}: of swaps {scores['swap_flip_rate']:.3f} flip (oracle {scores['swap_oracle_rate']:.3f}), "
            f"of reconstructions {scores['reconstruction_keep_rate']:.3f} keep their class, L1 "
            f"{scores['reconstruction_l1']:.3f}, class code kNN {scores['class_code_knn_accuracy']:.3f}"
        )
        run.console.print(line, highlight=False)
        early = step < min(run.config.train.steps, LEARNING)
        collapsed = "" if early else collapse_reason(scores, self._evaluator.chance)
        if collapsed:
            run.console.print(
                f"COLLAPSE at step {step}: {collapsed}. Try another seed, a lower "
                f"optimizer.discriminator_rate or a higher loss.gradient_penalty.",
                style="bold red",
            )
        if is_first():
            _draw_swaps(run, on_this_process(state).ema, step)
            found = {"validated": True, "score": validation_score(scores), "collapsed": collapsed}
            run.store.change_facts(step, facts | found)
        wait_for_all("validation")
