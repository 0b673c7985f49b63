"""Losses as pure functions of arrays. No networks, no weights of the terms, no optimizers.

Every function returns one number per sample, or per pair and side; the caller reduces.
"""

from cae_jax.losses.classification import (
    cross_entropy,
    prediction_divergence,
    probability_cross_entropy,
)
from cae_jax.losses.coherency import absolute_error, proximity_loss, squared_error
from cae_jax.losses.dependence import dependence_loss
from cae_jax.losses.neighbourhood import neighbourhood_loss
from cae_jax.losses.penalties import gradient_penalty
from cae_jax.losses.structure import structure_loss

__all__ = [
    "absolute_error",
    "cross_entropy",
    "dependence_loss",
    "gradient_penalty",
    "neighbourhood_loss",
    "prediction_divergence",
    "probability_cross_entropy",
    "proximity_loss",
    "squared_error",
    "structure_loss",
]
