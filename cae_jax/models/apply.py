"""Calls a Flax module with parameters and nothing else."""

from typing import Any

import flax.linen as nn


def apply(module: nn.Module, params: Any, *inputs: Any, **options: Any) -> Any:
    """`module.apply({"params": params}, *inputs, **options)`, for modules that keep no other state.

    Flax types the result as a union with mutated collections; no module here has any.
    """
    return module.apply({"params": params}, *inputs, **options)
