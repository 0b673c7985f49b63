"""The 5,000 digits that come along, asked for by name: `configs/mnist.py` without a try at the download.

python train.py --config configs/mnist_5k.py
"""

from cae_jax.config import Config, find_config, load_config


def get_config() -> Config:
    config = load_config(find_config("mnist"))
    config.data.name = "mnist_5k"
    config.data.fallback = ""
    return config
