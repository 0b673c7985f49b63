"""Ctrl-C and SIGTERM while training: the step under way is finished and saved first.

With several processes JAX takes SIGTERM, and chooses a step that all of them reach; Ctrl-C is then passed on as one.
"""

import os
import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

from cae_jax.training.errors import Terminated


class Interruption:
    """Takes SIGINT and SIGTERM as wishes, from `__enter__` to `__exit__`; a second one acts at once.

    Outside the main thread, where Python handles no signals, nothing is taken.

    Attributes:
        wish: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.wish: signal.Signals | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            taken = (signal.SIGINT, signal.SIGTERM) if jax.process_count() == 1 else (signal.SIGINT,)
            self._before = {number: signal.signal(number, self._note) for number in taken}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wish = signal.Signals(number)
        signal.signal(number, self._before[number])

    def came(self, call: int) -> bool:
        """Whether to save and end after this call of the steps; every process must ask, after every call in turn."""
        if jax.process_count() == 1:
            return self.wish is not None
        if self.wish == signal.SIGINT:
            self.wish = None
            os.kill(os.getpid(), signal.SIGTERM)
        if multihost_utils.reached_preemption_sync_point(call):
            self.wish = signal.SIGTERM
        return self.wish is not None

    def obey(self) -> None:
        """Raises what the signal is to Python: KeyboardInterrupt for SIGINT, Terminated for SIGTERM."""
        if self.wish == signal.SIGINT:
            raise KeyboardInterrupt
        if self.wish == signal.SIGTERM:
            raise Terminated
