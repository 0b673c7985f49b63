"""The published networks and loss weights, of which tests change what they name."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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


def draw_params(module: Any, seed: int, *inputs: Any) -> Any:
    """A module's parameters drawn with numpy, which compiles nothing: about as large as He's, biases of about 0.3."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    scale = lambda x: np.sqrt(2 / np.prod(x.shape[:-1])) if len(x.shape) > 1 else 0.3  # noqa: E731
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(0.0, scale(x), x.shape), x.dtype), shapes)
