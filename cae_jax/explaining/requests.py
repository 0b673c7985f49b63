"""What is asked for: which image each row explains, and the class it aims at."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cae_jax.explaining.inputs import InputError

Target = str | int | Sequence[int] | np.ndarray
ANY = -1  # the aim of rows that accept whichever class comes first


class Requests(NamedTuple):
    """M rows, each to be explained.

    Attributes:
        image_index: `[M]`, of the image.
        aim: `[M]`, the class aimed at, or `ANY`.
    """

    image_index: np.ndarray
    aim: np.ndarray


def check_target(target: Target, images: int, classes: int) -> str | np.ndarray:
    """Brings a target into one form: 'any', 'all', or a class for every image, `[images]`.

    Raises:
        InputError: if it is none of these, or a class that does not exist.
    """
    if isinstance(target, str):
        if target in ("any", "all"):
            return target
        raise InputError(f"target is 'any', 'all', a class or an array of classes, not {target!r}")
    targets = np.asarray(target)
    if not np.issubdtype(targets.dtype, np.integer) or targets.ndim > 1:
        raise InputError(f"target must be a class number or a list of them, not {target!r}")
    if targets.ndim == 1 and len(targets) != images:
        raise InputError(f"{len(targets)} targets do not go with {images} images")
    for value in np.unique(targets):
        if not 0 <= value < classes:
            raise InputError(f"target class {value} does not exist; the classes are 0 to {classes - 1}")
    return np.broadcast_to(targets, images).astype(int)


def check_waypoints(waypoints: np.ndarray, target: str | np.ndarray, images: int, size: int) -> np.ndarray:
    """Brings waypoints to float32.

    Args:
        waypoints: `[points, size]`, or `[images, points, size]`.
        target: as `check_target` returns it.
        images: how many there are.
        size: of a class code.

    Raises:
        InputError: for another shape, or a target that is no class.
    """
    waypoints = np.asarray(waypoints, np.float32)
    if waypoints.shape[-1:] != (size,) or waypoints.ndim not in (2, 3) or 0 in waypoints.shape:
        raise InputError(f"waypoints are [points, {size}] or [N, points, {size}], not {waypoints.shape}")
    if waypoints.ndim == 3 and len(waypoints) != images:
        raise InputError(f"{len(waypoints)} rows of waypoints do not go with {images} images")
    if isinstance(target, str):
        raise InputError("waypoints need a target class: the one at their end")
    return waypoints


def make_requests(predictions: np.ndarray, target: str | np.ndarray, classes: int) -> Requests:
    """Rows for images of some predictions `[N]`: one each, or for target 'all' one for every other class.

    An image without a prediction (-1) gets one row in any case.
    """
    everyone = np.arange(len(predictions))
    if isinstance(target, np.ndarray):
        return Requests(everyone, target)
    if target == "any":
        return Requests(everyone, np.full(len(predictions), ANY))
    image_index = np.repeat(everyone, classes)
    aims = np.tile(np.arange(classes), len(predictions))
    predictions = predictions[image_index]
    aims = np.where((predictions < 0) & (aims == 0), ANY, aims)
    others = (aims != predictions) & (predictions >= 0) | (aims == ANY)
    return Requests(image_index[others], aims[others])
