"""The config's `data` part, as the data sets take it."""

from cae_jax.data import Columns, FileSettings, Format
from cae_jax.training.config import Config, ConfigError


def _pair(key: str, numbers: tuple[float, ...]) -> tuple[float, float] | None:
    """Two numbers, or None where the first is 0; one number stands for both."""
    if len(numbers) not in (1, 2):
        raise ConfigError(f"data.{key} takes two numbers, not {numbers}")
    return (numbers[0], numbers[-1]) if numbers[0] else None


def file_settings(data: Config) -> FileSettings:
    """How a config wants image files read.

    Raises:
        ConfigError: for values that cannot be.
    """
    size = _pair("size", data.size)
    try:
        wanted = Format(
            size=None if size is None else (int(size[0]), int(size[1])),
            channels=data.channels,
            fit=data.fit,
            window=_pair("window", data.window),
        )
        return FileSettings(wanted, Columns(**data.table.to_dict()), data.on_error)
    except ValueError as error:
        raise ConfigError(f"data.{error}") from error
