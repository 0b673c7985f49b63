"""What the command-line programs share: logging, the compilation cache, known errors as sentences."""

import logging
import os
import pathlib
from collections.abc import Callable

import jax
from rich.console import Console
from rich.logging import RichHandler

from cae_jax.data import DataUnavailable, ImageError
from cae_jax.explaining import ClassifierError, InputError
from cae_jax.training.checkpoints import CheckpointError
from cae_jax.training.config import ConfigError
from cae_jax.training.errors import NonFiniteLoss, OneClass

KNOWN = (
    CheckpointError,
    ClassifierError,
    ConfigError,
    DataUnavailable,
    ImageError,
    InputError,
    NonFiniteLoss,
    OneClass,
)


def cache_folder() -> pathlib.Path:
    """Where compiled functions are kept between runs."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "cae_jax" / "xla"


def _set_up_logging(console: Console) -> None:
    handler = RichHandler(console=console, show_path=False, show_time=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("absl", "jax", "orbax", "urllib3", "grain", "bokeh", "tornado"):
        logging.getLogger(chatty).setLevel(logging.ERROR)


def run(program: Callable[[Console], object]) -> int:
    """Runs a program and turns known errors into a sentence and an exit code.

    Returns:
        0 when done, 1 after a known error, 130 when interrupted.
    """
    console = Console()
    _set_up_logging(console)
    jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    try:
        program(console)
    except KNOWN as error:
        console.print(f"error: {error}", style="bold red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; what was saved is kept, and the same command goes on from there", style="bold")
        return 130
    return 0
