"""What the command-line programs share: logging, the compilation cache, known errors as sentences."""

import errno
import io
import logging
import os
import pathlib
import sys
import warnings
from collections.abc import Callable

import jax
from rich.console import Console
from rich.logging import RichHandler

from cae_jax.cli.termination import TERMINATED
from cae_jax.errors import Terminated, UserError
from cae_jax.parallel.bucket import named, pull_all, push_all
from cae_jax.parallel.processes import is_first, start

NOT_TO_BE_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


def cache_folder() -> pathlib.Path:
    """Where compiled functions are kept between runs."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "cae_jax" / "xla"


def _set_up_logging(console: Console) -> None:
    handler = RichHandler(console=console, show_path=False, show_time=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    logging.captureWarnings(True)
    warnings.formatwarning = lambda message, *place: str(message)  # and not the line of code that it comes from
    for chatty in ("absl", "jax", "orbax", "urllib3", "grain", "bokeh", "tornado"):
        logging.getLogger(chatty).setLevel(logging.ERROR)


def make_console() -> Console:
    """A console that shows text as it is: names may have brackets and colons, which are no markup and no emoji."""
    return Console(markup=False, emoji=False)


def _show_anything() -> None:
    """What the terminal's encoding lacks, or what is no character at all in a file's name, is shown as its escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(message: str) -> int:
    make_console().print(f"error: {message}", style="bold red", highlight=False)
    if jax.process_count() > 1:  # at its end JAX would wait for the others, which wait for this one
        sys.stdout.flush()
        os._exit(1)
    return 1


def run(program: Callable[[Console], object], distributed: str = "off") -> int:
    """Runs a program and turns errors that people can put right into a sentence and an exit code.

    Args:
        program: function that gets the console, on which only the first of several processes is heard.
        distributed: how several processes find each other, see `processes.start`.

    Returns:
        0 when done or terminated, 1 after such an error, 130 when interrupted.
    """
    _show_anything()
    console = make_console()
    jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    try:
        start(distributed)
        console.quiet = not is_first()
        _set_up_logging(console)
        pull_all()
        try:
            program(console)
        finally:
            push_all()
    except UserError as error:
        return _fail(named(str(error)))
    except OSError as error:
        if error.errno not in NOT_TO_BE_WRITTEN:
            raise
        return _fail(
            f"{error.strerror}{f': {error.filename}' if error.filename else ''}. What was saved before is kept; once "
            f"there is room and a right to write, the same command goes on from there"
        )
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        return _fail(
            f"the processes have lost each other, most likely because one has ended; the others say why. Start all of "
            f"them again: they go on from the last checkpoint. ({str(error).splitlines()[0]})"
        )
    except Terminated:  # asked for, by whoever starts the program again: no failure
        console.print(TERMINATED, style="bold")
    except KeyboardInterrupt:
        console.print("interrupted; what was saved is kept, and the same command goes on from there", style="bold")
        return 130
    return 0
