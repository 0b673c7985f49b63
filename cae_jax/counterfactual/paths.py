"""Guided paths: straight lines or polylines through class-code space, walked by their length."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def along_path(
    waypoints: Float[Array, "batch points size"], shift: Float[Array, " batch"]
) -> Float[Array, "batch size"]:
    """Class codes at a shift from the exemplar's own (0) to the path's end (1).

    Args:
        waypoints: 2 or more; a path with fewer repeats its last.
        shift: in [0, 1], a share of the path's length.
    """
    lengths = jnp.sqrt(jnp.square(jnp.diff(waypoints, axis=1)).sum(-1))
    reached = jnp.cumsum(lengths, axis=1)
    position = shift * reached[:, -1]
    segment = (reached[:, :-1] <= position[:, None]).sum(1)[:, None]
    pick = lambda x: jnp.take_along_axis(x, segment, axis=1)[:, 0]  # noqa: E731
    length, end = pick(lengths), pick(reached)
    fraction = jnp.where(length > 0, 1.0 - (end - position) / jnp.where(length > 0, length, 1.0), 0.0)
    fraction = jax.lax.clamp(0.0, fraction, 1.0)[:, None]
    start, stop = (
        jnp.take_along_axis(x, segment[:, :, None], axis=1)[:, 0] for x in (waypoints[:, :-1], waypoints[:, 1:])
    )
    return (1.0 - fraction) * start + fraction * stop  # exact at both ends


def pad_waypoints(paths: Sequence[np.ndarray], points: int) -> np.ndarray:
    """Gives paths `[p, size]` of different p one number of points.

    Short ones repeat their last point, which changes nothing; of long ones, evenly spread points are kept, the first
    and the last among them.

    Returns:
        `[len(paths), points, size]` float32.
    """
    rows = [
        np.minimum(np.arange(points), len(path) - 1)
        if len(path) <= points
        else np.round(np.linspace(0, len(path) - 1, points)).astype(int)
        for path in paths
    ]
    return np.stack([path[row] for path, row in zip(paths, rows, strict=True)]).astype(np.float32)
