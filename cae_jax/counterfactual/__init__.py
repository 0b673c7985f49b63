"""Guided paths through class-code space and the search for the flip, from `decode` and `predict` as plain functions."""

from cae_jax.counterfactual.certainty import odds_of, odds_of_probability
from cae_jax.counterfactual.code_table import CodeTable, needed_odds
from cae_jax.counterfactual.saliency import (
    exchange_relevance,
    input_saliency,
    log_odds,
    path_saliency,
    reconstruction_saliency,
    relevance,
    smooth,
)
from cae_jax.counterfactual.search import Crossings, Paths, along_path, pad_waypoints, search, search_on_host
from cae_jax.counterfactual.selection import Shortfall, decide_endings, find_shortfalls, select, select_diverse
from cae_jax.counterfactual.strategies import (
    STRATEGIES,
    Candidates,
    Strategy,
    closest,
    nearest_classes,
    straight,
)

__all__ = [
    "STRATEGIES",
    "Candidates",
    "CodeTable",
    "Crossings",
    "Paths",
    "Shortfall",
    "Strategy",
    "along_path",
    "closest",
    "decide_endings",
    "exchange_relevance",
    "find_shortfalls",
    "input_saliency",
    "log_odds",
    "nearest_classes",
    "needed_odds",
    "odds_of",
    "odds_of_probability",
    "pad_waypoints",
    "path_saliency",
    "reconstruction_saliency",
    "relevance",
    "search",
    "search_on_host",
    "select",
    "select_diverse",
    "smooth",
    "straight",
]
