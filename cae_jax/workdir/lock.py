"""One program at a time writes to a folder."""

import contextlib
import pathlib
from collections.abc import Iterator

import filelock

from cae_jax.config.reading import ConfigError

FILE = ".lock"


def _not_to_be_written(folder: pathlib.Path, option: str, error: OSError) -> ConfigError:
    return ConfigError(f"nothing can be written to {folder} ({error}); name another {option}")


def make_workdir(folder: pathlib.Path, option: str = "--workdir") -> None:
    """Makes a folder that an option names, if need be; raises `ConfigError` if it cannot be one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ConfigError(f"{folder} is a file; name a folder as {option}") from error
    except OSError as error:
        raise _not_to_be_written(folder, option, error) from error


@contextlib.contextmanager
def hold(folder: pathlib.Path, option: str = "--workdir") -> Iterator[None]:
    """Keeps other runs from a folder, which is made if need be; the system lets go of it however the process ends.

    Args:
        folder: folder that is written to.
        option: the program's option that names the folder.

    Raises:
        ConfigError: if another run is at work there, or nothing can be written.
    """
    lock = filelock.FileLock(folder / FILE, timeout=0)
    make_workdir(folder, option)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ConfigError(f"another run is at work in {folder}; wait for it, or name another {option}") from error
    except OSError as error:
        raise _not_to_be_written(folder, option, error) from error
    try:
        yield
    finally:
        lock.release()
