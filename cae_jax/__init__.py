"""Class association embedding in JAX: explains image classifiers by counterfactuals and by what they know overall.

The names here are the public ones: of everything else, names and places may change.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cae_jax.config import presets
    from cae_jax.data import open_dataset
    from cae_jax.errors import UserError
    from cae_jax.explaining import Explainer
    from cae_jax.options import ExplainOptions
    from cae_jax.training.loop import train
    from cae_jax.types import Ending, Explanation

_HOMES = {
    "Ending": "cae_jax.types",
    "ExplainOptions": "cae_jax.options",
    "Explainer": "cae_jax.explaining",
    "Explanation": "cae_jax.types",
    "UserError": "cae_jax.errors",
    "open_dataset": "cae_jax.data",
    "presets": "cae_jax.config",
    "train": "cae_jax.training.loop",
}
__all__ = [
    "Ending",
    "ExplainOptions",
    "Explainer",
    "Explanation",
    "UserError",
    "open_dataset",
    "presets",
    "train",
]


def __getattr__(name: str) -> Any:
    """Imports the public names when first used: `cae --help` needs none of what they load."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cae_jax' has no attribute {name!r}")
