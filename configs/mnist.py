"""MNIST."""

from cae_jax.training import presets
from cae_jax.training.config import Config


def get_config() -> Config:
    config = presets.default()
    config.data.name = "mnist"
    config.data.fallback = "mnist_5k"
    return config
