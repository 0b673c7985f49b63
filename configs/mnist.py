"""MNIST."""

from ml_collections import ConfigDict

from cae_jax.training import presets


def get_config() -> ConfigDict:
    config = presets.default()
    config.data.name = "mnist"
    config.data.fallback = "mnist_5k"
    return config
