"""Class association embedding in JAX: explains image classifiers by counterfactuals and by what they know overall."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cae_jax.explaining import Explainer
    from cae_jax.types import Ending, Explanation

__all__ = ["Ending", "Explainer", "Explanation"]
_HOMES = {"Explainer": "cae_jax.explaining", "Ending": "cae_jax.types", "Explanation": "cae_jax.types"}


def __getattr__(name: str) -> Any:
    """Imports the public names when first used: `cae_jax.cli --help` needs none of what they load."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cae_jax' has no attribute {name!r}")
