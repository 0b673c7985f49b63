"""What tells one classifier from another: its files, how it is asked, and its answers to a few fixed images.

Files alone do not do: a function may load whatever it likes. Answers alone do not either: two classifiers can agree on
a few images. Answers are compared within a tolerance, so that a classifier is known again on another machine.
"""

import ast
import hashlib
import json
import logging
import mmap
import pathlib
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

FLOOR, TOLERANCE = 1e-4, 0.05  # probabilities count from here on; logarithms may differ as much between machines
EXTERNAL = re.compile(rb"\x0a\x08location\x12")  # of a tensor in an ONNX file: an entry's key, then the value's tag
log = logging.getLogger(__name__)


class Identity(NamedTuple):
    """A classifier, as it can be known again.

    Attributes:
        files: SHA-256 by the name of each file it consists of, relative to where it is.
        settings: how it is asked and read, text by key.
        answers: a row for each image of `fixed_images`, numbers that are not finite as None; a row `[None]` where it
            raised an error; no rows where the files say everything.
    """

    files: dict[str, str]
    settings: dict[str, str]
    answers: list[list[float | None]]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that, answers rounded."""
        rounded = [[None if value is None else round(value, 3) + 0.0 for value in row] for row in self.answers]
        text = json.dumps([sorted(self.files.values()), self.settings, rounded], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def read_identity(fields: Any) -> Identity:
    """The identity that `Identity._asdict` made JSON of.

    Raises:
        ValueError: if it is no such thing.
    """
    try:
        files, settings = ({str(k): str(v) for k, v in fields[name].items()} for name in ("files", "settings"))
        answers = [[None if value is None else float(value) for value in row] for row in fields["answers"]]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"no classifier is described there ({type(error).__name__}: {error})") from error
    return Identity(files, settings, answers)


def same_answers(kept: Identity, now: Identity) -> bool:
    """Whether both give the same answers to the fixed images, but for what machines differ in."""
    return [len(row) for row in kept.answers] == [len(row) for row in now.answers] and all(
        np.allclose(_logarithms(before), _logarithms(after), rtol=0.0, atol=TOLERANCE, equal_nan=True)
        for before, after in zip(kept.answers, now.answers, strict=True)
    )


def differences(kept: Identity, now: Identity) -> list[str]:
    """What differs between a classifier as it was and as it is, a phrase each; none if it is the same."""
    found = []
    if sorted(kept.files.values()) != sorted(now.files.values()):
        for name in sorted(kept.files.keys() | now.files.keys()):
            if name not in now.files:
                found.append(f"{name} is no longer part of it")
            elif name not in kept.files:
                found.append(f"{name} is new")
            elif kept.files[name] != now.files[name]:
                found.append(f"{name} has other contents")
    for key in sorted(kept.settings.keys() & now.settings.keys()):
        if kept.settings[key] != now.settings[key]:
            found.append(f"{key} was {kept.settings[key]} and is {now.settings[key]}")
    if not same_answers(kept, now):
        found.append(f"its answers to {len(now.answers)} fixed images are others{_by_how_much(kept, now)}")
        if len(found) == 1:
            found.append("so something that it loads or asks has changed, or its answers are random")
    return found


def _logarithms(row: list[float | None]) -> np.ndarray:
    return np.log(np.maximum(np.asarray(row, np.float64), FLOOR))  # None becomes NaN


def _by_how_much(kept: Identity, now: Identity) -> str:
    if all(row == [None] for row in now.answers):
        return " (it gives none now)"
    pairs = [
        np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))
        for a, b in zip(kept.answers, now.answers, strict=False)
        if len(a) == len(b)
    ]
    most = max((float(np.nanmax(pair)) for pair in pairs if not np.isnan(pair).all()), default=0.0)
    return f" (by up to {most:.2g})" if most else ""


def fixed_images(image_shape: tuple[int, int, int]) -> np.ndarray:
    """The images that classifiers are asked about to know them again, `[8, height, width, channels]` in [0, 1]."""
    height, width, channels = image_shape
    y, x, c = np.meshgrid(*(np.linspace(0.0, 1.0, count) for count in image_shape), indexing="ij")
    number = np.arange(height * width * channels, dtype=np.uint64).reshape(image_shape)
    disc = (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.09
    images = [
        np.zeros(image_shape),
        np.ones(image_shape),
        0.25 + 0.5 * x,
        (y + c / 2) / 1.5,
        0.5 + 0.5 * np.sin(2 * np.pi * (3 * x + 2 * y + c / 3)),
        np.where(disc, 0.8, 0.1),
        np.where(disc, 0.3 + 0.1 * c, 0.6),
        (number * np.uint64(2654435761) % np.uint64(1 << 32)) / 2.0**32,  # without any order that one could see
    ]
    return np.stack(images).astype(np.float32)


def ask(answer: Callable[[np.ndarray], Any], image_shape: tuple[int, int, int]) -> list[list[float | None]]:
    """A classifier's answers to the fixed images, as `Identity` keeps them.

    Whatever it raises about an image is logged for debugging, and is no answer: that it cannot be asked is said where
    it is asked about images that matter.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about images that nobody wants explained
        return _ask(answer, fixed_images(image_shape))


def _ask(answer: Callable[[np.ndarray], Any], images: np.ndarray) -> list[list[float | None]]:
    try:
        rows = np.asarray(answer(images.copy()), np.float64).reshape(len(images), -1)
        return [[float(value) if np.isfinite(value) else None for value in row] for row in rows]
    except Exception as error:  # a stranger's code may raise anything
        if len(images) > 1:
            return [row for index in range(len(images)) for row in _ask(answer, images[index : index + 1])]
        log.debug("the classifier does not answer about a fixed image: %s: %s", type(error).__name__, error)
        return [[None]]


def file_digest(path: pathlib.Path) -> str:
    """SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 of arrays by name."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        array = np.ascontiguousarray(array)
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def classifier_files(path: str, weights: str) -> dict[str, pathlib.Path]:
    """The files that a classifier of another framework consists of, as far as its name tells.

    Args:
        path: a file, or `module:function`, imported already.
        weights: a file, or ''.

    Returns:
        Paths by name: the file with what it keeps beside it (ONNX), or the function's module with the modules that it
        imports from the same folder; and the weights. Not what is installed: its answers speak for that.
    """
    file = pathlib.Path(path)
    if file.is_file():
        found = {file.name: file} | {name: file.parent / name for name in external_data(file)}
    else:
        found = _own_sources(path.rpartition(":")[0])
    if weights:
        name = pathlib.Path(weights).name
        found[name if name not in found else f"weights {name}"] = pathlib.Path(weights)
    return found


def external_data(path: pathlib.Path) -> list[str]:
    """Names of the files in which an ONNX file keeps tensors, relative to it; of other files, none.

    Every such tensor has an entry ("location", name). It is found by its bytes, so that the package onnx, which few who
    run a model have, is not needed; bytes that only look like one name no file that is there.
    """
    if path.suffix != ".onnx" or not path.stat().st_size:
        return []
    names = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        for entry in EXTERNAL.finditer(contents):
            length, at = _varint(contents, entry.end())
            name = contents[at : at + length].decode(errors="replace")
            if 0 < length < 4096 and "\0" not in name and (path.parent / name).is_file():
                names.add(name)
    return sorted(names)


def _varint(contents: mmap.mmap, at: int) -> tuple[int, int]:
    """A number as protobuf writes it, and the position behind it."""
    value = 0
    for shift, byte in enumerate(contents[at : at + 5]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    return 0, at


def _own_sources(module: str) -> dict[str, pathlib.Path]:
    """Source files of a module and of those that it imports from the same folder, by name; none if it is installed."""
    if pathlib.Path(module).is_file():
        file, depth = pathlib.Path(module).resolve(), 0
    else:
        loaded = getattr(sys.modules.get(module), "__file__", None)
        if loaded is None or not loaded.endswith(".py"):
            return {}
        file = pathlib.Path(loaded).resolve()
        depth = module.count(".") + (file.name == "__init__.py")
    installed = file.is_relative_to(sysconfig.get_paths()["stdlib"])
    if installed or {"site-packages", "dist-packages"} & set(file.parts):
        return {}
    root, waiting, found = file.parents[depth], [file], {}
    while waiting:
        file = waiting.pop()
        name = file.relative_to(root).as_posix()
        if name not in found:
            found[name] = file
            waiting += [path for path in _imported(file, root) if path.is_file()]
    return found


def _imported(file: pathlib.Path, root: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where the modules that a file imports would be, were they below a folder."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:  # which nobody can import
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            places = [(root, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = file.parents[node.level - 1] if node.level else root
            whole = node.module or ""
            places = [(start, f"{whole}.{alias.name}".lstrip(".")) for alias in node.names]
        else:
            continue
        for start, dotted in places:
            here = start
            for part in dotted.split("."):
                here = here / part
                if here.is_relative_to(root):
                    yield here.with_name(part + ".py")
                    yield here / "__init__.py"
