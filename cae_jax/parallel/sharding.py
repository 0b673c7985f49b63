"""Data parallelism: one mesh over all devices, batches split over it, everything else on every device.

Training spans the devices of all processes. What is only computed, and not learned from, spans those of one process:
the processes share its batches (`batching.map_batches`) and need not wait for each other within one.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cae_jax.parallel import rows


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of some devices along one axis, `data`; of all devices of all processes unless told which."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


@functools.cache
def local_mesh() -> Mesh:
    """A mesh of this process's devices along one axis, `data`."""
    return data_mesh(jax.local_devices())


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of state: a whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Makes a global batch of every process's share: `[pairs, ...]`, split over the mesh along the pairs.

    Raises:
        ValueError: if the pairs cannot be shared evenly.
    """
    count = len(next(iter(batch.values())))
    if count % jax.local_device_count():
        raise ValueError(
            f"{count} pairs a process cannot be shared evenly by its {jax.local_device_count()} devices; "
            f"change train.batch_size"
        )
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return {name: jax.make_array_from_process_local_data(sharding, array) for name, array in batch.items()}


def on_this_process(tree: Any) -> Any:
    """A copy, on every device of this process, of arrays that are whole on every device of all processes."""
    if jax.process_count() == 1:
        return tree
    return jax.device_put(jax.tree.map(lambda x: x.addressable_data(0), tree), replicated(local_mesh()))


def split_over_devices(tree: Any) -> Any:
    """A tree of rows as it is, or split over this process's devices if there are several to share them evenly.

    A compiled function computes where its inputs are.
    """
    devices = jax.local_device_count()
    if devices == 1 or rows.count(tree) % devices:
        return tree
    return jax.device_put(tree, NamedSharding(local_mesh(), PartitionSpec("data")))


def each_device_by_itself(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Compiles a function of rows so that each of this process's devices runs it on its own share of them.

    Unlike a function that the compiler splits, one with a loop then ends on each device when its own rows are done.

    Args:
        function: function from a tree of arrays `[N, ...]`, and a tree of what all rows share, to a tree of arrays
            `[N, ...]`.
    """
    if jax.local_device_count() == 1:
        return jax.jit(function)
    split, shared = PartitionSpec("data"), PartitionSpec()

    def call(inputs: Any, options: Any) -> Any:
        specs = {"mesh": local_mesh(), "in_specs": (split, shared), "out_specs": split}
        return jax.shard_map(function, **specs, check_vma=False)(inputs, options)

    return jax.jit(call)
