"""Parts of the config, as data sets and classifiers take them."""

import pathlib

from cae_jax.classifiers import Preparation, Reference
from cae_jax.data import LISTING, Columns, FileSettings, Format, Keeping
from cae_jax.training.config import Config, ConfigError


def _pair(key: str, numbers: tuple[float, ...]) -> tuple[float, float]:
    """Two numbers; one stands for both."""
    if len(numbers) not in (1, 2):
        raise ConfigError(f"{key} takes two numbers, not {numbers}")
    return numbers[0], numbers[-1]


def _size(key: str, numbers: tuple[int, ...]) -> tuple[int, int] | None:
    height, width = _pair(key, numbers)
    return (int(height), int(width)) if height or width else None


def file_settings(data: Config, workdir: pathlib.Path | None = None, strict: bool = True) -> FileSettings:
    """How a config wants images read.

    Args:
        data: the config's part.
        workdir: of the run, whose listing is kept to; None for no run.
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
        return FileSettings(wanted, Columns(**data.table.to_dict()), data.on_error, tuple(data.classes), kept)
    except ValueError as error:
        raise ConfigError(f"data.{error}") from error


def classifier_reference(settings: Config, name: str) -> Reference:
    """Where the classifier of another framework is that a config names.

    Args:
        settings: the config's `classifier` or `oracle` part.
        name: of that part, for messages.

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
            mean=tuple(given.mean),
            std=tuple(given.std),
            layout=given.layout,
        )
        return Reference(
            path=settings.path,
            kind=settings.kind,
            weights=settings.weights,
            preparation=preparation,
            head=settings.head,
            finding=settings.finding,
            device=settings.device,
            unpickle=settings.unpickle_runs_code,
        )
    except ValueError as error:
        raise ConfigError(f"{name}.{error}") from error
