"""Configs: where they come from, what keys and values they may have, and the presets that they start from.

What is named here needs no JAX; `check.py`, `settings.py` and `protocol.py`, which look at values, do.
"""

from cae_jax.config import presets
from cae_jax.config.reading import (
    Config,
    ConfigError,
    apply_overrides,
    conform,
    find_config,
    flatten,
    load_config,
    shipped_configs,
    split_overrides,
)

__all__ = [
    "Config",
    "ConfigError",
    "apply_overrides",
    "conform",
    "find_config",
    "flatten",
    "load_config",
    "presets",
    "shipped_configs",
    "split_overrides",
]
