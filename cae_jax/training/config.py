"""Configs: found by path or by name, changed from the command line, compared with those of an earlier run."""

import contextlib
import difflib
import pathlib
import runpy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from cae_jax.errors import UserError

PACKAGE = pathlib.Path(__file__).parents[1]
SHIPPED = (PACKAGE / "configs", PACKAGE.parent / "configs")  # in an installed package, and in a checkout
# ConfigDict types each attribute as a union of all that it might be; to the type checker it may be anything.
if TYPE_CHECKING:
    Config = Any
else:
    Config = ConfigDict
FREE_TO_CHANGE = ("train.log_every", "train.checkpoint_every")


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
    shipped = shipped_configs()
    if path.stem in shipped and (name in (path.stem, path.name) or path.parent.name == "configs"):
        return shipped[path.stem]
    raise ConfigError(f"there is no config file {name}; shipped by name: {', '.join(shipped) or 'none'}")


def load_config(path: pathlib.Path) -> ConfigDict:
    """Runs a config file and returns what its `get_config()` does.

    Raises:
        ConfigError: if the file has no such function, or it returns something else.
    """
    functions = runpy.run_path(str(path))
    if "get_config" not in functions:
        raise ConfigError(f"{path} has no function get_config()")
    config = functions["get_config"]()
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


def check_keys(config: ConfigDict, known: ConfigDict, what: str) -> None:
    """Checks that a config has the keys of a known one, no more and no fewer.

    Raises:
        ConfigError: saying that it is no `what`, with the keys that are missing or unknown.
    """
    found, wanted = flatten(config).keys(), flatten(known).keys()
    differing = [f"no key {key}" for key in sorted(wanted - found)] + [
        f"unknown key {k}" for k in sorted(found - wanted)
    ]
    if differing:
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise ConfigError(f"this is no {what}: {', '.join(differing[:5])}{more}")


def _parse(key: str, text: str, present: Any) -> Any:
    kind = type(present)
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
    elif kind is str:
        return text
    elif kind is tuple:
        element = type(present[0]) if present else str
        with contextlib.suppress(ValueError):
            return tuple(element(part) for part in text.split(",") if part)
    else:
        with contextlib.suppress(ValueError):  # reported below, like a bool that is neither
            return kind(text)
    raise ConfigError(f"--config.{key} takes {'true or false' if kind is bool else kind.__name__}, not {text!r}")


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Takes `--config.KEY=VALUE` and `--config.KEY VALUE` out of a command line.

    Returns:
        The other arguments, and the values by dotted key.

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
            if not rest:
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
            near = difflib.get_close_matches(key, known, n=3) or [k for k in known if k.endswith(f".{key}")]
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; known keys: {', '.join(known)}"
            raise ConfigError(f"unknown config key {key!r}{hint}")
        config.update_from_flattened_dict({key: _parse(key, text, known[key])})
    return config


def check_resumable(old: ConfigDict, new: ConfigDict, workdir: pathlib.Path) -> None:
    """Checks that a run may go on with a config: nothing but the spacing of logs and checkpoints may differ.

    Raises:
        ConfigError: listing every other key that differs.
    """
    before, after = flatten(old), flatten(new)
    changed = [
        f"{key}: {before.get(key, '(absent)')!r} there, {after.get(key, '(absent)')!r} here"
        for key in sorted(before.keys() | after.keys())
        if key not in FREE_TO_CHANGE and before.get(key) != after.get(key)
    ]
    if changed:
        raise ConfigError(
            f"{workdir} holds a run of another config; choose another --workdir, or the same settings:\n  "
            + "\n  ".join(changed)
        )
