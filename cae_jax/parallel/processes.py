"""Several processes, one a host or a device: they start together, share rows, and the first one writes."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

from cae_jax.errors import UserError
from cae_jax.parallel.bucket import pull_all, push_all

HEARTBEAT = 30  # seconds without a sign of life, or of waiting at the end, after which the others stop
PATIENCE = 7 * 24 * 3600  # seconds: as long as the others live, what they do may take

_waits = itertools.count()


class DistributedError(UserError, RuntimeError):
    """The processes cannot be brought together; the message says what was asked for and what to write."""


def start(spec: str) -> None:
    """Joins the other processes; must come before anything else that JAX does.

    Args:
        spec: 'off'; 'auto', where the cluster says who is there (TPU pods, Slurm, Kubernetes, Open MPI); or
            'HOST:PORT,N,I' for process I of N, of which process 0 listens at HOST:PORT.

    Raises:
        DistributedError: for any other text, a cluster that says nothing, or others that do not come.
    """
    if spec == "off":
        return
    options: dict[str, Any] = {}
    if spec != "auto":
        address, _, numbers = spec.partition(",")
        count, _, index = numbers.partition(",")
        if not (":" in address and count.isdigit() and index.isdigit() and int(index) < int(count)):
            raise DistributedError(
                f"--distributed must be auto, off or HOST:PORT,N,I with I from 0 to N - 1, not {spec!r}"
            )
        options = {"coordinator_address": address, "num_processes": int(count), "process_id": int(index)}
    try:
        jax.distributed.initialize(**options, heartbeat_timeout_seconds=HEARTBEAT, shutdown_timeout_seconds=HEARTBEAT)
    except (RuntimeError, ValueError) as error:
        raise DistributedError(
            f"--distributed={spec} does not bring the processes together ({error}); name them as HOST:PORT,N,I"
        ) from error


def is_first() -> bool:
    """Whether this is the process that writes and talks."""
    return jax.process_index() == 0


def wait_for_all(where: str) -> None:
    """Returns when every process has come to the place of this name, and sees what the others have written.

    They wait at the coordination service, not in a collective operation: those of CPUs give up after 30 seconds.
    """
    push_all()
    if jax.process_count() > 1:
        everyone = set(range(jax.process_count()))
        multihost.sync_global_processes(f"{where} {next(_waits)}", timeout=PATIENCE, processes=everyone)
        pull_all()


@contextlib.contextmanager
def first_one_first(what: str) -> Iterator[None]:
    """The others begin the block when the first process has left it, and find what it has written."""
    if not is_first():
        wait_for_all(what)
    yield
    if is_first():
        wait_for_all(what)


def as_the_first_has_it(number: int) -> int:
    """A number below 2³¹ that the first process knows."""
    wait_for_all("broadcast")
    return int(multihost_utils.broadcast_one_to_all(np.asarray(number, np.int32)))


def gather(tree: Any) -> Any:
    """Every process's arrays, which have the same shapes, behind a new first axis, on all of them."""
    wait_for_all("gather")
    return multihost_utils.process_allgather(tree)
