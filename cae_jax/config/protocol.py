"""Configs of comparisons, and their protocol: what is fixed before any method is run. Reasons: `docs/benchmark.md`."""

import dataclasses
import pathlib
from typing import Any

from ml_collections import ConfigDict

from cae_jax.config.presets import official
from cae_jax.config.reading import (
    Config,
    ConfigError,
    apply_overrides,
    conform,
    find_config,
    load_config,
    shipped_configs,
)
from cae_jax.data import SPLITS
from cae_jax.errors import InputError
from cae_jax.options import MAP_OPTIONS, ExplainOptions, read_options

FILLS = ("mean", "blur", "imputation")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Settings of a comparison, the same for all methods.

    Attributes:
        split: split whose images are explained.
        images: number of images, drawn at random.
        seed: seed of the draw, of targets, of random methods and of the intervals.
        patch: side, in pixels, of the cells that are removed or inserted together.
        steps: number of steps in which all cells are removed.
        fills: fills that replace removed cells; the main score is the mean over them, insertion is by the first.
        blur: width of the Gaussian of the fill 'blur', in pixels.
        road_shares: shares of the pixels that are removed for ROAD.
        confidence: probability of the target class that a counterfactual must reach.
        changed: difference from which on a pixel counts as changed, in [0, 1].
        bootstrap: number of resamples for an interval.
        pictures: number of images shown side by side.
    """

    split: str
    images: int
    seed: int
    patch: int
    steps: int
    fills: tuple[str, ...]
    blur: float
    road_shares: tuple[float, ...]
    confidence: float
    changed: float
    bootstrap: int
    pictures: int

    def __post_init__(self) -> None:
        for name in ("images", "patch", "steps", "bootstrap", "pictures"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"protocol.{name} must be 1 or more, not {value}")
        for name, least in (("seed", 0), ("blur", 0.1)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"protocol.{name} must be {least} or more, not {value}")
        if self.split not in SPLITS:
            raise ConfigError(f"protocol.split must be one of {', '.join(SPLITS)}, not {self.split!r}")
        if not self.fills or not set(self.fills) <= set(FILLS):
            raise ConfigError(f"protocol.fills must be some of {', '.join(FILLS)}, not {self.fills}")
        if not 0.0 < self.confidence <= 1.0:
            raise ConfigError(f"protocol.confidence must lie in (0, 1], not {self.confidence}")


DEFAULTS: dict[str, Any] = {
    "protocol": {
        "split": "test",
        "images": 512,
        "seed": 0,
        "patch": 2,
        "steps": 28,
        "fills": ("mean", "blur", "imputation"),
        "blur": 4.0,
        "road_shares": (0.05, 0.1, 0.2, 0.3, 0.5),
        "confidence": 0.9,  # the other methods take a probability
        "changed": 0.05,
        "bootstrap": 2000,
        "pictures": 8,
    },
    "cae": {"strategy": ExplainOptions.strategy, "smoothing": ExplainOptions.smoothing},
    "attribution": MAP_OPTIONS | {"smoothing": ExplainOptions.smoothing},
    "methods": (),  # names; empty for all
}


def bench_config(train: str, changes: dict[str, str] | None = None) -> Config:
    """A bench config: the protocol's defaults, how CAE is asked for counterfactuals and for its map, and the training
    config that makes the model.

    Args:
        train: name of a training config.
        changes: changes of that config, by dotted key, as on a command line.
    """
    config = ConfigDict(DEFAULTS)
    config.train = apply_overrides(load_config(find_config(train)), changes or {})
    return config


def check_bench_config(config: Config) -> Config:
    """A config with the keys and types of a bench config.

    Raises:
        ConfigError: with the keys that are missing or unknown, or whose values are of another type.
    """
    if "protocol" not in config:
        shipped = ", ".join(name for name in shipped_configs() if name.startswith("bench_"))
        raise ConfigError(f"this is a training config; a comparison takes a bench config, such as {shipped}")
    return conform(config, ConfigDict(DEFAULTS | {"train": official()}), "bench config")


def read_protocol(config: Config) -> Protocol:
    """The protocol of a bench config, whose other values are checked too.

    Raises:
        ConfigError: for values out of range, or options of an explanation that cannot be.
    """
    for part in ("cae", "attribution"):
        try:
            read_options(config[part].to_dict())
        except InputError as error:
            raise ConfigError(f"{part}.{error}") from error
    return Protocol(**config.protocol.to_dict())


def check_oracle(config: Config) -> None:
    """Checks that a training config has an oracle that is a network of ours, since distances are of its features.

    Raises:
        ConfigError: naming the key.
    """
    path = config.oracle.path
    if not path and not config.oracle.steps:
        raise ConfigError("oracle.steps is 0, so that there is no oracle; the comparison needs one")
    if path and not pathlib.Path(path).is_dir():
        raise ConfigError(
            f"oracle.path is {path}, a classifier that was made elsewhere; the comparison needs the activations of the "
            f"oracle, so it knows those that train.py has trained"
        )
