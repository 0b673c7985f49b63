"""Guided paths through class-code space and the search for the flip, from `decode` and `predict` as plain functions."""

from cae_jax.counterfactual.endings import decide_endings
from cae_jax.counterfactual.references import CodeTable, nearest_references
from cae_jax.counterfactual.search import Crossings, along_path, search

__all__ = ["CodeTable", "Crossings", "along_path", "decide_endings", "nearest_references", "search"]
