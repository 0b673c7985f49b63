"""From what a classifier returned to probabilities: scores, whatever they are packed in, and what their columns are."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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


def in_words(value: Any) -> str:
    """What something is, in a few words: type and shape of an array, entries of a container."""
    if _is_array(value):
        kind = str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")
        return f"{kind} {tuple(getattr(value, 'shape', ()))}"
    entries = _entries(value)
    if entries is None:
        return "None" if value is None else type(value).__name__
    shown = [f"{name}: {in_words(inner)}" for name, inner in list(entries.items())[:SHOWN]]
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
    raise ClassifierError(f"{key} is {output!r}, but the classifier returned {in_words(returned)}")


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
            raise ClassifierError(f"the classifier returned {in_words(returned)}; an array of scores is expected")
        if output:
            if entries is None:
                raise ClassifierError(
                    f"{key} is {output!r}, but the classifier returned {in_words(returned)} and nothing else; leave "
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
            raise ClassifierError(f"the classifier returned {in_words(returned)}; {choice}")
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
        raise ClassifierError(f"the classifier returned {in_words(array)}; real numbers are expected")
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
            f"the classifier returned {in_words(array)}, a whole number for each image: the class itself, it seems; "
            f"scores of all classes are needed"
        )
    if isinstance(rows, jax.Array):
        return rows.astype(jnp.float32)
    return np.array(rows, np.float32)  # its own memory: a classifier may use its buffer again


class Head(NamedTuple):
    """What a head takes.

    Attributes:
        outputs: the classifier's outputs, in words.
        columns: meaning of the columns: 'classes', 'one' or 'findings'.
        twin: the head for the same outputs where they are probabilities already, or where these are not.
        scores: whether it takes scores; else probabilities.
    """

    outputs: str
    columns: str
    twin: str
    scores: bool


HEADS = {
    "softmax": Head("a score for each class", "classes", "probabilities", True),
    "logit": Head("one score, for the second of two classes", "one", "probability", True),
    "sigmoid": Head("a score for each of several findings", "findings", "findings", True),
    "probabilities": Head("a probability for each class", "classes", "softmax", False),
    "probability": Head("one probability, of the second of two classes", "one", "logit", False),
    "findings": Head("a probability for each of several findings", "findings", "sigmoid", False),
}


def make_head(name: str, finding: int = 0, columns: tuple[int, ...] = ()) -> Callable[[Any], Any]:
    """Makes the function from a classifier's outputs `[batch, outputs]`, of numpy or of JAX, to probabilities.

    Args:
        name: meaning of the outputs. 'softmax': a score for each class. 'logit': one score, for the second of two
            classes. 'sigmoid': a score for each of several findings that do not exclude each other, of which one is
            explained as absent (class 0) or present (class 1). 'probabilities', 'probability' and 'findings': the same
            three, where the outputs are probabilities already.
        finding: the column of that one.
        columns: columns of the K classes, in their order; () takes every column. All others are left out, and the
            probabilities are those among the K: of scores, the softmax over them; of probabilities, their shares of
            their sum.

    Returns:
        Outputs to probabilities `[batch, K]`. It raises ClassifierError for outputs of another shape.

    Raises:
        ValueError: for another name, or columns that cannot be.
    """
    if name not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, not {name!r}")
    kind = HEADS[name]
    if columns and kind.columns != "classes":
        raise ValueError(f"columns go with the heads softmax and probabilities; of {name!r}, `finding` is the column")
    if len(set(columns)) != len(columns) or any(column < 0 for column in columns):
        raise ValueError(f"columns must be different numbers from 0 on, not {columns}")

    @np.errstate(invalid="ignore", divide="ignore")  # no number comes of what is none, and is told apart later
    def head(outputs: Any) -> Any:
        if kind.columns == "one":
            if outputs.size != len(outputs):
                raise ClassifierError(f"head {name!r} takes one score for each image, not {outputs.shape}")
            return _absent_or_present(outputs.reshape(-1), kind.scores)
        if outputs.ndim != 2:
            raise ClassifierError(f"the classifier's outputs must be [images, scores], not {outputs.shape}")
        if kind.columns == "findings":
            if not 0 <= finding < outputs.shape[1]:
                raise ClassifierError(
                    f"finding {finding} does not exist; the classifier has 0 to {outputs.shape[1] - 1}"
                )
            return _absent_or_present(outputs[:, finding], kind.scores)
        if columns:
            if max(columns) >= outputs.shape[1]:
                raise ClassifierError(
                    f"column {max(columns)} does not exist; the classifier has 0 to {outputs.shape[1] - 1}"
                )
            outputs = outputs[:, np.asarray(columns)]
        xp = outputs.__array_namespace__()
        if kind.scores:
            outputs = xp.exp(outputs - outputs.max(-1, keepdims=True))
        elif not columns:
            return outputs
        return outputs / outputs.sum(-1, keepdims=True)

    return head


def _absent_or_present(scores: Any, logistic: bool) -> Any:
    xp = scores.__array_namespace__()
    if not logistic:
        return xp.stack([1.0 - scores, scores], axis=-1)
    # the logistic function of the score and of its opposite; in this form neither overflows nor rounds to 0
    powers = xp.exp(-xp.abs(scores))
    less, more = powers / (1.0 + powers), 1.0 / (1.0 + powers)
    return xp.stack([xp.where(scores > 0, less, more), xp.where(scores > 0, more, less)], axis=-1)
