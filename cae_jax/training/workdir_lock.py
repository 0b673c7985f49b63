"""One run at a time writes to a workdir."""

import contextlib
import pathlib
from collections.abc import Iterator

import filelock

from cae_jax.training.config import ConfigError

FILE = ".lock"


def _not_to_be_written(workdir: pathlib.Path, error: OSError) -> ConfigError:
    return ConfigError(f"nothing can be written to {workdir} ({error}); name another --workdir")


def make_workdir(workdir: pathlib.Path) -> None:
    """Makes a workdir if need be; raises `ConfigError` if it cannot be one."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_to_be_written(workdir, error) from error


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[None]:
    """Keeps other runs from a workdir, which is made if need be; the system lets go of it however the process ends.

    Raises:
        ConfigError: if another run is at work there, or nothing can be written.
    """
    lock = filelock.FileLock(workdir / FILE, timeout=0)
    make_workdir(workdir)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ConfigError(f"another run is at work in {workdir}; wait for it, or name another --workdir") from error
    except OSError as error:
        raise _not_to_be_written(workdir, error) from error
    try:
        yield
    finally:
        lock.release()
