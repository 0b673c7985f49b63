"""Requests: which class each image is to be explained toward."""

import difflib
import enum
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cae_jax.errors import InputError
from cae_jax.explaining.inputs import as_array


class Aim(enum.StrEnum):
    """Targets that are not a class: whichever other class becomes confident first, or all other classes."""

    ANY = "any"
    ALL = "all"


Target = Any
"""A class by name or number, a sequence or array with a class for each image, 'any' or 'all': see `check_target`."""


ANY = -1  # aim of a request that accepts whichever other class becomes confident first


MOST_NAMES = 20  # names of classes that a message lists


class Requests(NamedTuple):
    """M requests: pairs of an image and a class to explain it toward.

    Attributes:
        image_index: row number of each request's image, `[M]`.
        aim: class that each request aims at, or `ANY`, `[M]`.
    """

    image_index: np.ndarray
    aim: np.ndarray


def _unknown(name: str, class_names: Sequence[str]) -> InputError:
    near = [] if name.isdecimal() else difflib.get_close_matches(name.casefold(), map(str.casefold, class_names), 3)
    meant = [repr(other) for other in class_names if other.casefold() in near]
    if meant:
        return InputError(f"target class {name!r} does not exist; did you mean {' or '.join(meant[:3])}?")
    more = f" and {len(class_names) - MOST_NAMES} more" if len(class_names) > MOST_NAMES else ""
    names = ", ".join(class_names[:MOST_NAMES])
    if "," in name:
        return InputError(f"target {name!r} is no class; name one of {names}{more}, or 'any' or 'all'")
    return InputError(f"target class {name!r} does not exist; the classes are {names}{more}, numbered from 0")


def find_class(name: str, class_names: Sequence[str]) -> int:
    """The number of a class, given its name, or its number as text if no class has that name.

    Raises:
        InputError: if there is no such class; it lists the names.
    """
    composed = unicodedata.normalize("NFC", name)  # keyboards and file systems encode accented letters differently
    for wanted, known in ((name, class_names), (composed, [unicodedata.normalize("NFC", c) for c in class_names])):
        if wanted in known:
            return list(known).index(wanted)
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    raise _unknown(name, class_names)


def find_target(name: str, class_names: Sequence[str]) -> Aim | int:
    """Reads a target from text: the class of that name, else 'any' or 'all', else the class of that number.

    Raises:
        InputError: if it is none of these.
    """
    if isinstance(name, Aim) or (name in tuple(Aim) and name not in class_names):
        return Aim(name)
    return find_class(str(name), class_names)


def _numbers(targets: np.ndarray, target: Target, images: int, class_names: Sequence[str]) -> np.ndarray:
    """Converts targets to class numbers: names, one-hot rows, and columns `[images, 1]`.

    Raises:
        InputError: if they are none of these, or not whole numbers.
    """
    classes = len(class_names)
    if targets.dtype.kind == "O" and all(isinstance(value, str) for value in targets.flat):
        targets = targets.astype(str)
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
    """Converts a target of any form to an `Aim` or to class numbers.

    Args:
        target: 'any', 'all', a class by name or number, or a class for each image: `[images]`, `[images, 1]` or one-hot
            `[images, K]`, as numpy array, PyTorch tensor or list. Names of classes take precedence over numbers and
            over 'any' and 'all'.
        images: number of images.
        class_names: K names of classes.

    Returns:
        An `Aim`, or the class number for each image, `[images]`.

    Raises:
        InputError: if the target has none of these forms, or the class does not exist.
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
            raise InputError(f"target class {value:.0f} does not exist; the classes are 0 to {len(class_names) - 1}")
    return np.broadcast_to(targets, images).astype(int)


def check_waypoints(waypoints: np.ndarray, target: Aim | np.ndarray, images: int, size: int) -> np.ndarray:
    """Checks waypoints and converts them to float32.

    Args:
        waypoints: class codes, `[points, size]` or `[images, points, size]`.
        target: target as `check_target` returns it.
        images: number of images.
        size: size of a class code.

    Raises:
        InputError: for another shape, numbers that are not finite, or a target that is not a class.
    """
    waypoints = np.asarray(waypoints, np.float32)
    if waypoints.shape[-1:] != (size,) or waypoints.ndim not in (2, 3) or 0 in waypoints.shape:
        raise InputError(f"waypoints are [points, {size}] or [N, points, {size}], not {waypoints.shape}")
    if waypoints.ndim == 3 and len(waypoints) != images:
        raise InputError(f"{len(waypoints)} rows of waypoints do not go with {images} images")
    if not np.isfinite(waypoints).all():
        raise InputError("waypoints are class codes, and some of their numbers are not finite")
    if isinstance(target, Aim):
        raise InputError("waypoints need a target class: the one at their end")
    return waypoints


def check_fixed(fixed: Any, images: int, size: tuple[int, int]) -> np.ndarray:
    """Checks a mask of what must not change, and gives it a row for each image.

    Args:
        fixed: `[height, width]` for all images or `[images, height, width]`; true, or 1, where nothing may change.
        images: number of images.
        size: height and width of the images that the model was trained on.

    Returns:
        `[images, height, width]`, of truth values.

    Raises:
        InputError: for another shape, or other values than true and false, or 1 and 0.
    """
    mask = np.asarray(fixed)
    if mask.shape not in (size, (images, *size)):
        height, width = size
        raise InputError(f"fixed is a mask [{height}, {width}], or [{images}, {height}, {width}], not {mask.shape}")
    if not np.isin(mask, (0, 1)).all():
        raise InputError("fixed holds true and false, or 1 and 0: true where nothing may change")
    return np.broadcast_to(mask.astype(bool), (images, *size))


def make_requests(predictions: np.ndarray, target: Aim | np.ndarray, classes: int) -> Requests:
    """Makes the requests of N images: one for each image, or for target 'all' one for each other class.

    Args:
        predictions: classifier's class of each image, `[N]`; -1 where it has no finite answer. Such an image gets one
            request in any case.
        target: target as `check_target` returns it.
        classes: number of classes, K.
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
