"""Reads what a classifier returned, whatever it is packed in, as float32 scores with a row for each image."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.classifiers.answers import ClassifierError

SHOWN = 6  # entries of a container that a message lists


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _entries(value: Any) -> dict[str, Any] | None:
    """What a container holds, by name or position; None for what is no container."""
    if isinstance(value, Mapping):
        return {str(key): inner for key, inner in value.items()}
    if _is_named_tuple(value):
        return value._asdict()
    if isinstance(value, (tuple, list)):
        return {str(place): inner for place, inner in enumerate(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "logits"):
        return {"logits": value.logits}
    attributes = getattr(value, "__dict__", {})
    found = {name: inner for name, inner in attributes.items() if not name.startswith("_") and _is_array(inner)}
    return found or None


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def _is_array(value: Any) -> bool:
    if isinstance(value, (np.ndarray, np.generic, jax.Array, float, int)) or _is_tensor(value):
        return True
    return hasattr(value, "__array__") and not isinstance(value, (Mapping, type))


def describe(value: Any) -> str:
    """What something is, in a few words: type and shape of an array, entries of a container."""
    if _is_array(value):
        kind = str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")
        return f"{kind} {tuple(getattr(value, 'shape', ()))}"
    entries = _entries(value)
    if entries is None:
        return "None" if value is None else type(value).__name__
    shown = [f"{name}: {describe(inner)}" for name, inner in list(entries.items())[:SHOWN]]
    more = [f"and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else []
    return f"{type(value).__name__}({', '.join(shown + more)})"


def _from_torch(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if "strided" not in str(tensor.layout):
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    return (tensor.float() if tensor.is_floating_point() else tensor.resolve_conj()).numpy()


def _rows_of_a_list(value: list, images: int) -> Any:
    """A list of numbers, of lists of numbers, or of one array for each image, as one array; None for any other."""
    if value and all(isinstance(row, (list, float, int)) for row in value):
        try:
            rows = np.asarray(value)
        except ValueError:  # rows of different lengths
            return None
        return rows if rows.dtype.kind in "biuf" else None
    if len(value) != images or not all(_is_array(row) for row in value):
        return None
    if len({np.shape(row) for row in value}) != 1 or len(np.shape(value[0])) > 1:
        return None
    if any(isinstance(row, jax.Array) for row in value):
        return jnp.stack([jnp.asarray(row) for row in value])
    return np.stack([_from_torch(row) if _is_tensor(row) else np.asarray(row) for row in value])


def _as_array(value: Any, images: int) -> Any:
    """An array of numpy or of JAX; None for what is no array."""
    if isinstance(value, list):
        return _rows_of_a_list(value, images)
    if _is_tensor(value):
        return _from_torch(value)
    if isinstance(value, jax.Array):
        return value
    return np.asarray(value) if _is_array(value) else None


def _named(entries: dict[str, Any], output: str, returned: Any, key: str) -> Any:
    if output in entries:
        return entries[output]
    if output.isdigit() and int(output) < len(entries):
        return list(entries.values())[int(output)]
    raise ClassifierError(f"{key} is {output!r}, but the classifier returned {describe(returned)}")


def pick_output(returned: Any, images: int, *, output: str, usual: str, key: str) -> tuple[Any, str]:
    """Finds the one array that is meant in what a classifier returned.

    Args:
        returned: an array, or a container of several.
        images: number of images that the classifier was asked about.
        output: name or position of the one that is meant; '' where that is plain: there is one alone, or one is called
            `usual`.
        usual: a name that needs no choice; '' for none.
        key: key of the config that `output` comes from; '' for none.

    Returns:
        The array, of numpy or of JAX, and the names that led to it, joined by dots ('' where it came by itself).

    Raises:
        ClassifierError: saying what came back, if it holds no array, or several.
    """
    value, way = returned, []
    while output or (array := _as_array(value, images)) is None:
        entries = _entries(value)
        if entries is None and not output:
            raise ClassifierError(f"the classifier returned {describe(returned)}; an array of scores is expected")
        if output:
            if entries is None:
                raise ClassifierError(
                    f"{key} is {output!r}, but the classifier returned {describe(returned)} and nothing else; leave "
                    f"{key} empty"
                )
            value = _named(entries, output, returned, key)
            way.append(output)
            output = ""
            continue
        filled = {name: inner for name, inner in (entries or {}).items() if inner is not None}
        if len(filled) != 1 and usual not in filled:
            names = " or ".join(repr(name) for name in list(filled)[:SHOWN])
            choice = f"say with {key} which of them has the scores ({names})" if key else "return the scores alone"
            choice = choice if filled else "it has no scores"
            raise ClassifierError(f"the classifier returned {describe(returned)}; {choice}")
        name = next(iter(filled)) if len(filled) == 1 else usual
        value = filled[name]
        way.append(name)
    return array, ".".join(way)


def as_rows(array: Any, images: int) -> Any:
    """Brings scores into `[images, scores]` float32.

    Axes of length 1 behind the scores are dropped, one score for each image becomes a column, and what came for one
    image without an axis of images gets one.

    Raises:
        ClassifierError: for another shape, or what are no real numbers.
    """
    if not (jnp.issubdtype(array.dtype, jnp.floating) or array.dtype.kind in "biu"):
        raise ClassifierError(f"the classifier returned {describe(array)}; real numbers are expected")
    rows, shape = array, array.shape
    if images == 1 and array.ndim <= 1:
        rows = array.reshape(1, -1)
    elif array.ndim == 1:
        rows = array[:, None]
    while rows.ndim > 2 and rows.shape[-1] == 1:
        rows = rows[..., 0]
    if rows.ndim != 2 or rows.shape[0] != images or rows.shape[1] == 0:
        seems = ""
        if rows.ndim == 2 and rows.shape[1] == images:
            seems = ". Rows and columns seem to be exchanged"
        elif rows.ndim == 4 and rows.shape[0] == images:
            seems = ". These are scores for places of the image; one row for the whole image is needed"
        raise ClassifierError(
            f"the classifier returned {array.dtype} {shape} for {images} images; a row of scores for each image, "
            f"({images}, scores), is expected{seems}"
        )
    if rows.shape[1] == 1 and array.dtype.kind in "iu":
        raise ClassifierError(
            f"the classifier returned {describe(array)}, a whole number for each image: the class itself, it seems; "
            f"scores of all classes are needed"
        )
    if isinstance(rows, jax.Array):
        return rows.astype(jnp.float32)
    return np.array(rows, np.float32)  # its own memory: a classifier may use its buffer again
