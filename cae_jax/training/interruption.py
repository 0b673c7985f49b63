"""Ctrl-C and SIGTERM while training: the step under way is finished and saved first."""

import signal
import threading
from types import FrameType

from cae_jax.training.errors import Terminated


class Interruption:
    """Takes SIGINT and SIGTERM as wishes, from `__enter__` to `__exit__`; a second one acts at once.

    Outside the main thread, where Python handles no signals, nothing is taken.

    Attributes:
        wish: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.wish: signal.Signals | None = None
        self._before: dict[int, signal.Handlers | object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wish = signal.Signals(number)
        signal.signal(number, self._before[number])  # pyright: ignore[reportArgumentType]

    def obey(self) -> None:
        """Raises what the signal is to Python: KeyboardInterrupt for SIGINT, Terminated for SIGTERM."""
        if self.wish == signal.SIGINT:
            raise KeyboardInterrupt
        if self.wish == signal.SIGTERM:
            raise Terminated
