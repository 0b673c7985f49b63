"""The published networks and loss weights, of which tests change what they name."""

from typing import Any

from cae_jax import presets
from cae_jax.models import CAE, Discriminator
from cae_jax.training.objectives import Weights
from cae_jax.workdir.generator import build_model


def make_cae(channels: int = 3, **changes: Any) -> CAE:
    """The published generator with changes, for images of so many channels."""
    config = presets.official()
    config.model.update(changes)
    return build_model(config, (256, 256, channels), 2)


def make_discriminator(num_classes: int, **changes: Any) -> Discriminator:
    """The published discriminator with changes."""
    return Discriminator(num_classes, **presets.official().discriminator.to_dict() | changes)


def make_weights(**changes: float) -> Weights:
    """The published weights of the losses with changes."""
    return Weights(**presets.official().loss.to_dict() | changes)
