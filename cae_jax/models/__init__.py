"""The networks, as Flax modules that hold parameters and nothing else. No losses, no optimizers, no files."""

from cae_jax.models.apply import apply
from cae_jax.models.cae import CAE
from cae_jax.models.class_encoder import ClassEncoder
from cae_jax.models.codec import RESIDUALS, Individual, add_detail, draw_on, make_codec
from cae_jax.models.decoder import Decoder
from cae_jax.models.discriminator import Discriminator
from cae_jax.models.individual_encoder import IndividualEncoder

__all__ = [
    "CAE",
    "RESIDUALS",
    "ClassEncoder",
    "Decoder",
    "Discriminator",
    "Individual",
    "IndividualEncoder",
    "add_detail",
    "apply",
    "draw_on",
    "make_codec",
]
