"""Configs: found, brought to known keys and types, changed from the command line, compared with those of earlier runs.

What values they may have is in `check.py`.
"""

import contextlib
import difflib
import logging
import math
import os
import pathlib
import runpy
import traceback
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ml_collections import ConfigDict

from cae_jax.errors import UserError

PACKAGE = pathlib.Path(__file__).parents[1]
SHIPPED = (PACKAGE / "configs", PACKAGE.parent / "configs")  # in an installed package, and in a checkout
# ConfigDict types each attribute as a union of all that it might be; to the type checker it may be anything.
if TYPE_CHECKING:
    Config = Any
else:
    Config = ConfigDict
OF_CAE = ("model.", "discriminator.", "loss.", "optimizer.", "train.", "evaluation.")  # all else is there before it
FREE_TO_CHANGE = ("train.log_every", "train.checkpoint_every", "data.new_files")
TAKES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "several values"}
log = logging.getLogger(__name__)


class ConfigError(UserError, ValueError):
    """A config, or a change to one, that cannot be used; the message names the file or key."""


def shipped_configs() -> dict[str, pathlib.Path]:
    """The configs that come with the package, by name."""
    files = [file for folder in SHIPPED for file in sorted(folder.glob("*.py")) if file.stem != "__init__"]
    return {file.stem: file for file in files}


def find_config(name: str) -> pathlib.Path:
    """Finds a config file by path or, among the shipped ones, by name.

    Raises:
        ConfigError: if there is none.
    """
    path = pathlib.Path(name)
    if path.is_file():
        return path
    if path.is_dir() and name not in shipped_configs():
        raise ConfigError(f"{name} is a folder; name a config file, or a shipped one: {', '.join(shipped_configs())}")
    shipped = shipped_configs()
    if path.stem in shipped and (name in (path.stem, path.name) or path.parent.name == "configs"):
        return shipped[path.stem]
    raise ConfigError(f"there is no config file {name}; shipped by name: {', '.join(shipped) or 'none'}")


def _line_in(path: pathlib.Path, error: BaseException) -> str:
    """Where a file's code raised an error, or called what did: ' in line 3'; '' if it did not."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f" in line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" in line {lines[-1]}" if lines else ""


def load_config(path: pathlib.Path) -> ConfigDict:
    """Runs a config file and returns what its `get_config()` does.

    Raises:
        ConfigError: if the file cannot be run, has no such function, or it returns something else.
    """
    try:
        get_config = runpy.run_path(str(path)).get("get_config")
        config = get_config() if callable(get_config) else None
    except (Exception, SystemExit) as error:  # of code that is not ours
        log.debug("%s", path, exc_info=True)
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise ConfigError(f"{path} cannot be run{_line_in(path, error)}: {type(error).__name__}: {reason}") from error
    if not callable(get_config):
        raise ConfigError(f"{path} has no function get_config()")
    if not isinstance(config, ConfigDict):
        raise ConfigError(f"get_config() of {path} returned {type(config).__name__}, not an ml_collections.ConfigDict")
    return config


def flatten(config: ConfigDict) -> dict[str, Any]:
    """The values of a config by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            flat |= {f"{key}.{inner}": leaf for inner, leaf in flatten(value).items()}
        else:
            flat[key] = value
    return flat


def _nearest(key: str, known: Iterable[str]) -> list[str]:
    """Known keys and sections that a misspelt one may stand for: those that look like it, or else end like it."""
    known, last = list(known), key.rpartition(".")[2]
    sections = dict.fromkeys(other.rpartition(".")[0] for other in known if "." in other)
    alike = difflib.get_close_matches(key, [*known, *sections], n=3)
    return alike or [other for other in known if other.split(".")[-1] == last]


def _unknown(key: str, known: Iterable[str]) -> str:
    """What is said of a key that does not exist."""
    inside = [other for other in known if other.startswith(f"{key}.")]
    if inside:
        return f"{key!r}, which is a section with the keys {', '.join(inside)}"
    near = _nearest(key, known)
    return f"{key!r}; did you mean {' or '.join(near)}?" if near else f"{key!r}; known keys: {', '.join(known)}"


def _differing(config: ConfigDict, known: ConfigDict) -> list[str]:
    found, wanted = flatten(config).keys(), flatten(known).keys()
    unknown = sorted(found - wanted)
    sections = tuple(f"{key}." for key in unknown)
    absent = [f"no key {key}" for key in sorted(wanted - found) if not key.startswith(sections)]
    if len(unknown) == 1:  # a slip, rather than a config of something else
        return [f"unknown key {_unknown(unknown[0], wanted)}", *absent]
    hints = ("".join(f" (did you mean {near}?)" for near in _nearest(key, wanted)[:1]) for key in unknown)
    return absent + [f"unknown key {key}{hint}" for key, hint in zip(unknown, hints, strict=True)]


def _element(value: Any, kind: type) -> Any:
    """A value as one of a kind; raises ValueError if it is of another."""
    if kind is not str and isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0:
        value = value.item()
    if kind is str and isinstance(value, str | os.PathLike):
        return str(os.fspath(value))
    if kind is bool and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if number and (kind is float or (kind is int and value == int(value))):
        return kind(value)
    raise ValueError


def _as_known(value: Any, known: Any) -> Any:
    """A value in the type of the known one: whole floats do for whole numbers, one value for several, paths for text.

    Of an empty tuple nobody knows what it holds: any values do.
    """
    if not isinstance(known, tuple):
        return _element(value, type(known))
    values = value if isinstance(value, list | tuple) or np.ndim(value) == 1 else [value]
    if known:
        return tuple(_element(one, type(known[0])) for one in values)
    kinds = [next((kind for kind in (bool, int, float) if isinstance(one, kind)), str) for one in values]
    return tuple(_element(one, kind) for one, kind in zip(values, kinds, strict=True))


def conform(config: Any, known: ConfigDict, what: str) -> ConfigDict:
    """A copy of a config with the keys of a known one, no more and no fewer, and values in its types.

    Raises:
        ConfigError: saying that it is no `what`, with the keys that are missing or unknown, or naming the keys whose
            values are of another type.
    """
    if not isinstance(config, ConfigDict):
        raise ConfigError(f"a {what} is an ml_collections.ConfigDict, not {type(config).__name__}")
    if differing := _differing(config, known):
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise ConfigError(f"this is no {what}: {', '.join(differing[:5])}{more}")
    values, wrong = flatten(config), []
    for key, example in flatten(known).items():
        try:
            values[key] = _as_known(values[key], example)
        except ValueError:
            kind = TAKES[type(example)]
            if isinstance(example, tuple) and example:
                kind = f"{TAKES[type(example[0])]}, or several in brackets"
            wrong.append(f"{key} takes {kind}, not {values[key]!r}")
    if wrong:
        raise ConfigError("; ".join(wrong))
    conformed = ConfigDict(known.to_dict())
    conformed.update_from_flattened_dict(values)
    return conformed


def _parse(key: str, text: str, present: Any) -> Any:
    kind = type(present)
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
    elif kind is str:
        return text
    elif kind is tuple:
        element = type(present[0]) if present else str
        if element is str:
            return tuple(part for part in text.split(",") if part)
        with contextlib.suppress(ValueError):
            return tuple(_number(part, element) for part in text.strip("()[]").split(",") if part.strip())
    else:
        with contextlib.suppress(ValueError):  # reported below, like a bool that is neither
            return _number(text, kind)
    raise ConfigError(f"--config.{key} takes {'true or false' if kind is bool else kind.__name__}, not {text!r}")


def _number(text: str, kind: type) -> Any:
    with contextlib.suppress(ValueError):
        return kind(text)
    return _element(float(text), kind)


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Takes `--config.KEY=VALUE` and `--config.KEY VALUE` out of a command line.

    Returns:
        The other arguments, and the values by dotted key; of a key that is given twice the last one counts, as for any
        option.

    Raises:
        ConfigError: if a key has no value.
    """
    own, changes, rest = [], {}, list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--config."):
            own.append(argument)
            continue
        key, equals, value = argument.removeprefix("--config.").partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(f"--config.{key} needs a value: --config.{key}=VALUE")
            value = rest.pop(0)
        changes[key] = value
    return own, changes


def apply_overrides(config: ConfigDict, overrides: dict[str, str]) -> ConfigDict:
    """Returns a copy of a config with values by dotted key replaced, each parsed as the type that stood there.

    Raises:
        ConfigError: naming the key, if it is unknown or its value has the wrong type.
    """
    config = ConfigDict(config.to_dict())
    known = flatten(config)
    for key, text in overrides.items():
        if key not in known:
            raise ConfigError(f"unknown config key {_unknown(key, known)}")
        config.update_from_flattened_dict({key: _parse(key, text, known[key])})
    return config


def other_settings(old: ConfigDict, new: ConfigDict, begun: bool) -> list[str]:
    """The settings of a run that keep it from going on with another config, with both values; see `check_resumable`."""
    before, after = flatten(old), flatten(new)
    return [
        f"{key}: {before.get(key, '(absent)')!r} there, {after.get(key, '(absent)')!r} here"
        for key in sorted(before.keys() | after.keys())
        if key not in FREE_TO_CHANGE and (begun or not key.startswith(OF_CAE)) and before.get(key) != after.get(key)
    ]


def check_resumable(old: ConfigDict, new: ConfigDict, workdir: pathlib.Path, begun: bool) -> None:
    """Checks that a run may go on with a config: nothing but the spacing of logs and checkpoints may differ.

    Before the CAE has begun to train, what is about it alone may differ, too.

    Args:
        old: config of the run.
        new: config to go on with.
        workdir: folder of the run, for messages.
        begun: whether there is a checkpoint.

    Raises:
        ConfigError: listing every other key that differs.
    """
    if changed := other_settings(old, new, begun):
        raise ConfigError(
            f"{workdir} holds a run of another config; choose another --workdir, or the same settings:\n  "
            + "\n  ".join(changed)
        )
