"""Saves the progress of what is trained before a run's first step: classifier, oracle and warm-up.

It is saved every half a minute and when the program is interrupted.
"""

import pathlib
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from cae_jax.parallel.bucket import push_all
from cae_jax.parallel.processes import as_the_first_has_it, is_first
from cae_jax.parallel.sharding import on_this_process
from cae_jax.training.interruption import Interruption
from cae_jax.workdir.checkpoints import CheckpointStore

FOLDER = "unfinished"  # in a workdir, with a subfolder for each training
EVERY = 30.0  # seconds


class Unfinished:
    """Saves the state of a training inside its `with` block, so that a later start can continue to the same result."""

    def __init__(self, workdir: pathlib.Path, name: str, facts: Mapping[str, Any]):
        """Opens the store of a training.

        Args:
            workdir: folder of the run.
            name: name of the training.
            facts: settings that must equal those of a saved state for it to be continued.
        """
        self._store = CheckpointStore(workdir / FOLDER / name)
        self._facts = dict(facts)
        self._earlier, self._began = 0.0, time.monotonic()
        self._saved = self._began
        self._others = False  # whether the store has states of other facts
        self._interruption = Interruption()

    def __enter__(self) -> "Unfinished":
        return self

    def __exit__(self, *raised: Any) -> None:
        self._interruption.__exit__(*raised)

    @property
    def seconds(self) -> float:
        """Training time in seconds, earlier starts included."""
        return self._earlier + time.monotonic() - self._began

    def resume(self, new: Any, shared: bool = False) -> tuple[int, Any]:
        """Returns the number of steps done so far, and the state after them: the saved one, or else `new`.

        Args:
            new: state before the first step; a saved state is put on the same devices.
            shared: whether all processes train together, rather than the first one alone.
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
            self._others = True
            return 0
        self._earlier = seconds
        return newest

    def after(self, step: int, state: Any, settle: Callable[[], None] = lambda: None) -> None:
        """Saves the state after a step if it is time, or if a signal has come, which then ends the program.

        Where several processes train, a signal ends the program at once.

        Args:
            step: number of steps done; at most one more may be running, as a signal waits for it.
            state: state after these steps.
            settle: function called before the state is saved, which raises if the state must not be saved.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            Terminated: after SIGTERM.
        """
        if jax.process_count() == 1:  # of several, each ends at once, with what the last half a minute has saved
            self._interruption.take()
        if self._interruption.wish or time.monotonic() - self._saved > EVERY:
            settle()
            if is_first():
                if self._others:  # the store keeps the greatest steps, which may be theirs
                    self._store.clear()
                    self._others = False
                facts = self._facts | {"seconds": self.seconds}
                self._store.save(step, {"state": on_this_process(state)}, facts)
                push_all()
            self._interruption.obey()
            self._saved = time.monotonic()


def forget_unfinished(workdir: pathlib.Path) -> None:
    """Deletes the saved states of a workdir's unfinished trainings, once none of them is needed any more."""
    shutil.rmtree(workdir / FOLDER, ignore_errors=True)
