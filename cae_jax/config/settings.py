"""Parts of the config, as data sets and classifiers take them."""

import pathlib
from collections.abc import Sequence
from typing import Any

from cae_jax.classifiers import Contract, Preparation, Reference
from cae_jax.config.reading import Config, ConfigError
from cae_jax.data import LISTING, Columns, FileSettings, Format, Keeping


def _pair(key: str, numbers: tuple[float, ...]) -> tuple[float, float]:
    if len(numbers) != 2:
        raise ConfigError(f"{key} takes two numbers, not {numbers}")
    return numbers[0], numbers[1]


def _size(key: str, numbers: tuple[int, ...]) -> tuple[int, int] | None:
    """Height and width, for which one number may stand; None for two zeros."""
    height, width = _pair(key, numbers * 2 if len(numbers) == 1 else numbers)
    return (int(height), int(width)) if height or width else None


def _some(key: str, numbers: tuple[float, ...]) -> tuple[float, ...]:
    if not numbers:
        raise ConfigError(f"{key} takes one number, or one for each channel, not none")
    return tuple(numbers)


def _whole_numbers(key: str, values: Sequence[Any]) -> tuple[int, ...]:
    """Whole numbers, which an empty key's override on a command line leaves as words."""
    try:
        numbers = tuple(int(value) for value in values)
    except (TypeError, ValueError):
        numbers = None
    if numbers is None or any(number != float(value) for number, value in zip(numbers, values, strict=True)):
        raise ValueError(f"{key} must be whole numbers, not {values}")
    return numbers


def file_settings(data: Config, workdir: pathlib.Path | None = None, strict: bool = True) -> FileSettings:
    """How a config wants images read.

    Args:
        data: the config's `data` part.
        workdir: folder of the run whose listing is kept to; None for no run.
        strict: whether a file of the listing that is gone is an error; else new files are left out, whatever the config
            says.

    Raises:
        ConfigError: for values that cannot be.
    """
    size, window = _size("data.size", data.size), _pair("data.window", data.window)
    window = window if any(window) else None
    try:
        wanted = Format(size=size, channels=data.channels, fit=data.fit, window=window, background=data.background)
        kept = Keeping(workdir and workdir / LISTING, data.new_files if strict else "leave", strict)
        return FileSettings(wanted, Columns(**data.table.to_dict()), data.on_error, tuple(map(str, data.classes)), kept)
    except ValueError as error:
        raise ConfigError(f"data.{error}") from error


def classifier_reference(settings: Config, name: str) -> Reference:
    """Where the classifier of another framework is that a config names.

    Args:
        settings: the config's `classifier` or `oracle` part.
        name: name of that part, 'classifier' or 'oracle', for messages.

    Raises:
        ConfigError: for values that cannot be.
    """
    given = settings.input
    size, spread = _size(f"{name}.input.size", given.size), _pair(f"{name}.input.range", given.range)
    try:
        preparation = Preparation(
            size=size,
            channels=given.channels,
            order=given.order,
            range=spread,
            mean=_some(f"{name}.input.mean", given.mean),
            std=_some(f"{name}.input.std", given.std),
            layout=given.layout,
        )
        contract = Contract(
            output=str(settings.output),
            columns=_whole_numbers("columns", settings.columns),
            head=settings.head,
            finding=settings.finding,
            batch_size=settings.batch_size,
            part=name,
        )
        return Reference(
            path=settings.path,
            kind=settings.kind,
            weights=settings.weights,
            preparation=preparation,
            contract=contract,
            device=settings.device,
            unpickle=settings.unpickle_runs_code,
        )
    except ValueError as error:
        raise ConfigError(f"{name}.{error}") from error
