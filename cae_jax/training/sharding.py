"""Data parallelism: one mesh over all devices, batches split over it, everything else on every device."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def data_mesh() -> Mesh:
    """A mesh of all devices of all processes along one axis, `data`."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of state: a whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Makes the global batch of every process's share, split over the mesh along the first axis.

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
