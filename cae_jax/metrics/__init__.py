"""Measures of a trained model, as functions of arrays and codes. No files, no models by name."""

from cae_jax.metrics.probes import convolutional_probe_accuracy, knn_accuracy, linear_probe_accuracy, mlp_probe_accuracy
from cae_jax.metrics.swaps import draw_swaps, majority_share

__all__ = [
    "convolutional_probe_accuracy",
    "draw_swaps",
    "knn_accuracy",
    "linear_probe_accuracy",
    "majority_share",
    "mlp_probe_accuracy",
]
