"""What a training before the first step has come to: kept every half a minute and when it is interrupted."""

import pathlib
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

from cae_jax.parallel.bucket import push_all
from cae_jax.parallel.processes import as_the_first_has_it, is_first
from cae_jax.parallel.sharding import on_this_process
from cae_jax.training.interruption import Interruption
from cae_jax.workdir.checkpoints import CheckpointStore

FOLDER = "unfinished"  # in a workdir; a folder for each training
EVERY = 30.0  # seconds


class Unfinished:
    """Keeps the state of a training inside its block, so that it can go on and end with the same bits."""

    def __init__(self, workdir: pathlib.Path, name: str, facts: Mapping[str, Any]):
        """Takes the workdir, the name of the training, and what must be the same for it to go on."""
        self._store = CheckpointStore(workdir / FOLDER / name)
        self._facts = dict(facts)
        self._earlier, self._began = 0.0, time.monotonic()
        self._saved = self._began
        self._interruption = Interruption()

    def __enter__(self) -> "Unfinished":
        return self

    def __exit__(self, *raised: Any) -> None:
        self._interruption.__exit__(*raised)

    @property
    def seconds(self) -> float:
        """Seconds that the training has taken, earlier starts included."""
        return self._earlier + time.monotonic() - self._began

    def resume(self, new: Any, shared: bool = False) -> tuple[int, Any]:
        """Steps that are done, and the state after them.

        Args:
            new: the state before the first step; what was kept is put on the same devices.
            shared: whether all processes train, and not the first alone.
        """
        step = 0 if shared and not is_first() else self._kept()
        step = as_the_first_has_it(step) if shared else step
        return (step, self._store.load(step, "state", new)) if step else (0, new)

    def _kept(self) -> int:
        self._store.sweep()
        newest = self._store.newest()
        if newest is None:
            return 0
        found = self._store.facts(newest)
        seconds = found.pop("seconds")
        if found != self._facts:
            return 0
        self._earlier = seconds
        return newest

    def after(self, step: int, state: Any, settle: Callable[[], None] = lambda: None) -> None:
        """Keeps the state after a step if it is time, or a signal has come, which is obeyed then.

        Args:
            step: steps that are done; no more than one more may be under way, which a signal would wait for.
            state: after them.
            settle: called first, where the state is to be kept; raises if it is not worth that.
        """
        self._interruption.take()
        if self._interruption.wish or time.monotonic() - self._saved > EVERY:
            settle()
            if is_first():
                facts = self._facts | {"seconds": self.seconds}
                self._store.save(step, {"state": on_this_process(state)}, facts)
                push_all()
            self._interruption.obey()
            self._saved = time.monotonic()


def forget_unfinished(workdir: pathlib.Path) -> None:
    """Deletes what was kept, once all that it was kept for is done."""
    shutil.rmtree(workdir / FOLDER, ignore_errors=True)
