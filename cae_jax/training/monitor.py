"""Checks, logs and shows the losses and norms of training steps, and measures the training speed."""

import contextlib
import json
import math
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console
from tensorboardX import SummaryWriter

from cae_jax.errors import NonFiniteLoss
from cae_jax.parallel.processes import is_first
from cae_jax.progress import WorkProgress
from cae_jax.training.step import NORMS
from cae_jax.workdir.files import write_whole
from cae_jax.workdir.verdict import LOG, read_log


def check_finite(terms: Mapping[str, Any], step: int) -> dict[str, float]:
    """Returns the terms of a step (losses and norms) as floats.

    Raises:
        NonFiniteLoss: if a term is not finite; it names the losses that are not, or, if all losses are, the norms.
    """
    values = {name: float(value) for name, value in terms.items()}
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        losses = [name for name in broken if not name.startswith(NORMS)]
        parts = [name for name in losses if not name.endswith("_total")] or losses or broken
        raise NonFiniteLoss(
            f"at step {step} these {'losses' if losses else 'norms'} are not finite: {', '.join(parts)}. The last "
            f"checkpoint is from before; try a lower optimizer.generator_rate or optimizer.discriminator_rate"
        )
    return values


@jax.jit
def _as_one(terms: Mapping[str, jax.Array]) -> jax.Array:
    """The terms in the order of their names, in one array: an accelerator is waited for once a step, not for each."""
    return jnp.stack([terms[name] for name in sorted(terms)])


class Monitor:
    """Checks the losses and norms of every step, logs some in `log.jsonl` and for TensorBoard, and shows progress.

    A step's terms are checked while the next step runs, so that the device never waits for the host; call `settle`
    before anything is saved. With several processes, only the first one logs. When a run is resumed, log lines of steps
    that will be repeated are dropped, and so is a truncated last line.

    Attributes:
        images_per_second: mean over all steps timed so far; None before the first.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        console: Console,
        steps: int,
        *,
        kind: str = "train",
        start: int = 0,
        validated: bool = False,
        log_every: int = 1,
        images: int = 1,
    ):
        """Starts or continues the log.

        Args:
            workdir: folder of `log.jsonl` and `tensorboard/`.
            console: console for a progress bar, shown inside the monitor's `with` block.
            steps: number of the last step.
            kind: 'train', or 'warm-up', which comes before.
            start: step that the run continues from; logged later steps will be repeated.
            validated: whether the validation at `start` is done.
            log_every: interval of the logged steps.
            images: number of images in a step.
        """
        self.images_per_second: float | None = None
        self._kind, self._log_every, self._images = kind, log_every, images
        self._unseen: tuple[int, list[str], jax.Array] | None = None
        self._last: float | None = None
        self._seconds, self._timed = 0.0, 0
        self._progress, self._steps = WorkProgress(console), steps
        title = {"train": "training", "warm-up": "warming up"}[kind]
        self._task = self._progress.add_task(title, total=steps, completed=start, note="compiling")
        self._writer: SummaryWriter | None = None
        if not is_first():
            return

        def stands(line: Mapping[str, Any]) -> bool:
            if line["kind"] == "warm-up":
                return kind == "train" or line["step"] <= start
            last = start if validated or line["kind"] != "validation" else start - 1
            return kind == "train" and line["step"] <= last

        self._path = workdir / LOG
        if self._path.exists():
            kept = [json.dumps(line) + "\n" for line in read_log(workdir) if stands(line)]
            write_whole(self._path, "".join(kept))
        events = workdir / "tensorboard" / ("" if kind == "train" else kind)  # apart: the warm-up also starts at step 1
        self._writer = SummaryWriter(str(events), purge_step=start + 1)

    def __enter__(self) -> "Monitor":
        self._progress.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._progress.stop()
        if self._writer is not None:
            self._writer.close()

    def step(self, number: int, terms: dict[str, jax.Array]) -> None:
        """Takes the terms of a step that may still be running, and checks and logs those of the step before.

        Raises:
            NonFiniteLoss: if a term of the step before is not finite.
        """
        self._look()
        self._unseen = number, sorted(terms), _as_one(terms)

    @contextlib.contextmanager
    def busy(self, description: str) -> Iterator[None]:
        """Shows, while its block runs, that something else is being done; call `settle` first."""
        task = self._progress.add_task(description, total=None)
        yield
        self._progress.remove_task(task)

    def settle(self) -> None:
        """Waits for the last step, and checks and logs its terms.

        The time until the next step is not measured, as the caller does something else now.

        Raises:
            NonFiniteLoss: if a term is not finite.
        """
        self._look()
        self._last = None

    def _look(self) -> None:
        if self._unseen is None:
            return
        (number, names, terms), self._unseen = self._unseen, None
        values = check_finite(dict(zip(names, jax.device_get(terms), strict=True)), number)
        self._tick()
        if number % self._log_every == 0:
            self.write(number, self._kind, values)
        losses = f"generator {values['generator_total']:.2f}, discriminator {values['discriminator_total']:.2f}"
        shown: dict[str, Any] = {"note": losses}
        if self.images_per_second:
            left = (self._steps - number) * self._images / self.images_per_second
            shown = {"note": f"{losses}, {self.images_per_second:.0f} images/s", "seconds_left": left}
        self._progress.update(self._task, completed=number, **shown)

    def _tick(self) -> None:
        """Updates the speed at the end of a step."""
        now = time.monotonic()
        if self._last is not None:
            self._seconds, self._timed = self._seconds + now - self._last, self._timed + 1
            self.images_per_second = self._images * self._timed / self._seconds
        self._last = now

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Logs scalars of one kind ('warm-up', 'train', 'validation') at a step."""
        if self._writer is None:
            return
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)
