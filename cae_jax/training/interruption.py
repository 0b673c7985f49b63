"""Handles Ctrl-C and SIGTERM during training: unsaved progress is saved before the program ends.

With several processes, JAX handles SIGTERM and chooses a step at which all of them stop; Ctrl-C is then turned into a
SIGTERM.
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
    """Holds back SIGINT and SIGTERM from `take`, called when there is unsaved progress, to `obey`, when it is saved.

    Before and after, the signals have their usual effect, since nothing would be lost. With several processes they are
    held back until the end of the `with` block, so that all processes end together.

    A second Ctrl-C has its usual effect at once. A second SIGTERM is ignored: schedulers may send it repeatedly, and
    have SIGKILL to force an end. Outside the main thread, where Python handles no signals, none are held back.

    Attributes:
        wish: the signal that was held back, or None.
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
        """Starts to hold back signals, as there is unsaved progress from now on; does nothing if it has started."""
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
        """Whether to save and end now. Every process must ask after every step, with the number of the call."""
        if jax.process_count() == 1:
            return self.wish is not None
        if self.wish == signal.SIGINT:
            self.wish = None
            os.kill(os.getpid(), signal.SIGTERM)
        if multihost_utils.reached_preemption_sync_point(call):
            self.wish = signal.SIGTERM
        return self.wish is not None

    def obey(self) -> None:
        """Acts on a signal that was held back, now that all is saved: raises KeyboardInterrupt or Terminated.

        With a single process, later signals have their usual effect again.
        """
        if jax.process_count() == 1:
            self._let_go()
        elif self.wish == signal.SIGINT:
            return  # `came` passes it on to the other processes first
        self._raise()

    def _raise(self) -> None:
        wish, self.wish = self.wish, None
        if wish == signal.SIGINT:
            raise KeyboardInterrupt
        if wish == signal.SIGTERM:
            raise Terminated
