"""Measures of a trained model and of explanations, as functions of arrays; nothing here reads files or names models."""

from cae_jax.metrics.counterfactual_images import (
    cout,
    distance_to_truth,
    diversity,
    l1_distance,
    l2_distance,
    sparsity,
    structural_similarity,
    validity,
)
from cae_jax.metrics.faithfulness import aopc, area_between, area_under, perturbation_curves, road
from cae_jax.metrics.fills import (
    Fill,
    Removal,
    blur_fill,
    linear_imputation,
    mean_fill,
    noisy_linear_imputation,
    spread_cells,
)
from cae_jax.metrics.intervals import bootstrap_interval, paired_difference
from cae_jax.metrics.kernel_distance import kid, kid_to_classes
from cae_jax.metrics.leakage import individual_code_leakage
from cae_jax.metrics.localisation import (
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    top_k_iou,
)
from cae_jax.metrics.order_search import search_order
from cae_jax.metrics.probes import (
    knn_accuracy,
    knn_predictions,
    linear_probe_accuracy,
    mlp_probe_accuracy,
)
from cae_jax.metrics.rates import BalancedRate, balanced_rate
from cae_jax.metrics.swaps import draw_swaps, majority_share
from cae_jax.metrics.verdict import collapse_reason, find_fault, say_progress, validation_score

__all__ = [
    "BalancedRate",
    "Fill",
    "Removal",
    "aopc",
    "area_between",
    "area_under",
    "balanced_rate",
    "blur_fill",
    "bootstrap_interval",
    "collapse_reason",
    "cout",
    "distance_to_truth",
    "diversity",
    "draw_swaps",
    "find_fault",
    "individual_code_leakage",
    "kid",
    "kid_to_classes",
    "knn_accuracy",
    "knn_predictions",
    "l1_distance",
    "l2_distance",
    "linear_imputation",
    "linear_probe_accuracy",
    "majority_share",
    "mean_fill",
    "mlp_probe_accuracy",
    "noisy_linear_imputation",
    "paired_difference",
    "perturbation_curves",
    "pointing_game",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "road",
    "say_progress",
    "search_order",
    "sparsity",
    "spread_cells",
    "structural_similarity",
    "top_k_iou",
    "validation_score",
    "validity",
]
