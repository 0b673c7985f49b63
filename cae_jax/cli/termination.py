"""How programs that train end: soon, since a machine that is taken away gives them seconds."""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

TERMINATED = "terminated; what was saved is kept, and the same command goes on from there"
_ending = threading.Lock()


def _end(number: int, frame: FrameType | None) -> None:
    if _ending.acquire(blocking=False):
        with contextlib.suppress(OSError):  # nobody listens
            os.write(1, f"{TERMINATED}\n".encode())
    else:  # somebody else is about to
        time.sleep(1.0)
    os._exit(0)  # an exception might be raised where nobody lets it through


@contextlib.contextmanager
def ends_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the program with code 0, unless `training.interruption` takes it: then there is something to lose.

    Python looks at signals only between two instructions of the main thread, of which there may be none for a minute
    while something compiles. So a second thread hears of them too.
    """
    before = signal.signal(signal.SIGTERM, _end)
    heard, heard_of = os.pipe()
    os.set_blocking(heard_of, False)
    others = signal.set_wakeup_fd(heard_of, warn_on_full_buffer=False)

    def listen() -> None:
        while number := os.read(heard, 1):
            if number[0] == signal.SIGTERM and signal.getsignal(signal.SIGTERM) is _end:
                _end(signal.SIGTERM, None)

    listener = threading.Thread(target=listen, name="sigterm", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(others)
        signal.signal(signal.SIGTERM, before)
        os.close(heard_of)
        listener.join()
        os.close(heard)


def leave(code: int) -> NoReturn:
    """Ends the program without putting its memory in order first, which takes Python and JAX longer than a step."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
