"""Ctrl-C and SIGTERM while there is something to lose: it is brought to disk first, before anything else is done.

With several processes JAX takes SIGTERM, and chooses a step that all of them reach; Ctrl-C is then passed on as one.
"""

import os
import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

from cae_jax.errors import Terminated


class Interruption:
    """Takes SIGINT and SIGTERM as wishes from `take`, when there is something to lose, to `obey`, when it is saved.

    Before and after they do what they always do, since to start again from what is saved loses nothing. Several
    processes go on taking them to the end of the block, so that they end together.

    A second Ctrl-C acts at once. A second SIGTERM changes nothing: machines repeat themselves, and have SIGKILL for
    when they are in haste. Outside the main thread, where Python handles no signals, nothing is taken.

    Attributes:
        wish: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.wish: signal.Signals | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        return self

    def __exit__(self, *raised: object) -> None:
        self._let_go()
        if not any(raised):
            self._raise()

    def take(self) -> None:
        """There is something to lose from now on."""
        if not self._before and threading.current_thread() is threading.main_thread():
            taken = (signal.SIGINT, signal.SIGTERM) if jax.process_count() == 1 else (signal.SIGINT,)
            self._before = {number: signal.getsignal(number) for number in taken}
            for number in taken:
                signal.signal(number, self._note)

    def _let_go(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wish = self.wish or signal.Signals(number)
        if number == signal.SIGINT:
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
        """All is saved: raises what a signal that came is to Python, KeyboardInterrupt or Terminated."""
        if jax.process_count() == 1:
            self._let_go()
        elif self.wish == signal.SIGINT:
            return  # `came` tells the others of it first
        self._raise()

    def _raise(self) -> None:
        wish, self.wish = self.wish, None
        if wish == signal.SIGINT:
            raise KeyboardInterrupt
        if wish == signal.SIGTERM:
            raise Terminated
