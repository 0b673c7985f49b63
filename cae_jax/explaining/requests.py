"""What is asked for: the class that each image aims at."""

import difflib
import enum
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cae_jax.errors import InputError
from cae_jax.explaining.inputs import as_array


class Aim(enum.StrEnum):
    """Targets that are no class."""

    ANY = "any"
    ALL = "all"


Target = Any
"""A class by name or number, one for each image in whatever holds them, 'any' or 'all': see `check_target`."""


ANY = -1  # the aim of rows that accept whichever class comes first


MOST_NAMES = 20  # of classes in a sentence


class Requests(NamedTuple):
    """M rows, each to be explained.

    Attributes:
        image_index: `[M]`, of the image.
        aim: `[M]`, the class aimed at, or `ANY`.
    """

    image_index: np.ndarray
    aim: np.ndarray


def _unknown(name: str, class_names: Sequence[str]) -> InputError:
    near = difflib.get_close_matches(name.casefold(), [other.casefold() for other in class_names], 3)
    meant = [repr(other) for other in class_names if other.casefold() in near]
    if meant:
        return InputError(f"target class {name!r} does not exist; did you mean {' or '.join(meant[:3])}?")
    more = f" and {len(class_names) - MOST_NAMES} more" if len(class_names) > MOST_NAMES else ""
    names = ", ".join(class_names[:MOST_NAMES])
    return InputError(f"target class {name!r} does not exist; the classes are {names}{more}, numbered from 0")


def find_class(name: str, class_names: Sequence[str]) -> int:
    """The number of a class by its name, or by its number where no class has that name.

    Raises:
        InputError: if there is none, with the names there are.
    """
    composed = unicodedata.normalize("NFC", name)  # what a keyboard writes, and what some file systems make of it
    for wanted, known in ((name, class_names), (composed, [unicodedata.normalize("NFC", c) for c in class_names])):
        if wanted in known:
            return list(known).index(wanted)
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    raise _unknown(name, class_names)


def find_target(name: str, class_names: Sequence[str]) -> Aim | int:
    """What a text means as a target: the class of that name, else 'any' or 'all', else the class of that number.

    Raises:
        InputError: if it means nothing.
    """
    if isinstance(name, Aim) or (name in tuple(Aim) and name not in class_names):
        return Aim(name)
    return find_class(str(name), class_names)


def _numbers(targets: np.ndarray, target: Target, images: int, class_names: Sequence[str]) -> np.ndarray:
    """Targets as numbers of classes, of whatever kind and shape they are."""
    classes = len(class_names)
    if targets.dtype.kind == "U":
        targets = np.reshape([find_class(str(name), class_names) for name in targets.flat], targets.shape)
    if targets.shape in ((images, classes), (classes,) if images == 1 else None) and targets.dtype.kind in "bifu":
        rows = targets.reshape(images, classes)
        if not (np.isin(rows, (0, 1)).all() and (rows.sum(-1) == 1).all()):
            raise InputError("targets [N, K] are one-hot: a 1 in each row, at its class; take argmax(-1) of scores")
        return rows.argmax(-1)
    if targets.dtype.kind not in "iuf" or (targets != np.round(targets)).any():
        raise InputError(f"target must be a class, by name or number, or a list of them, not {target!r}")
    return targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets


def check_target(target: Target, images: int, class_names: Sequence[str]) -> Aim | np.ndarray:
    """Brings a target into one form.

    Args:
        target: 'any', 'all', a class by name or number, or one for each image: `[images]`, `[images, 1]` or one-hot
            `[images, K]`, of numpy, PyTorch or lists. Names come before numbers and before 'any' and 'all'.
        images: how many there are.
        class_names: K names.

    Returns:
        An `Aim`, or a class for every image, `[images]`.

    Raises:
        InputError: if it is none of these, or a class that does not exist.
    """
    if isinstance(target, str):
        found = find_target(target, class_names)
        if isinstance(found, Aim):
            return found
        target = found
    targets = _numbers(as_array(target), target, images, class_names)
    if targets.ndim > 1:
        raise InputError(f"targets are [N], [N, 1] or one-hot [N, {len(class_names)}], not {targets.shape}")
    if targets.ndim == 1 and len(targets) not in (1, images):
        raise InputError(f"{len(targets)} targets do not go with {images} images")
    for value in np.unique(targets):
        if not 0 <= value < len(class_names):
            raise InputError(f"target class {int(value)} does not exist; the classes are 0 to {len(class_names) - 1}")
    return np.broadcast_to(targets, images).astype(int)


def check_waypoints(waypoints: np.ndarray, target: Aim | np.ndarray, images: int, size: int) -> np.ndarray:
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
    if isinstance(target, Aim):
        raise InputError("waypoints need a target class: the one at their end")
    return waypoints


def make_requests(predictions: np.ndarray, target: Aim | np.ndarray, classes: int) -> Requests:
    """Rows for images of some predictions `[N]`: one each, or for target 'all' one for every other class.

    An image without a prediction (-1) gets one row in any case.
    """
    everyone = np.arange(len(predictions))
    if isinstance(target, np.ndarray):
        return Requests(everyone, target)
    if target is Aim.ANY:
        return Requests(everyone, np.full(len(predictions), ANY))
    image_index = np.repeat(everyone, classes)
    aims = np.tile(np.arange(classes), len(predictions))
    predictions = predictions[image_index]
    aims = np.where((predictions < 0) & (aims == 0), ANY, aims)
    others = (aims != predictions) & (predictions >= 0) | (aims == ANY)
    return Requests(image_index[others], aims[others])
