"""Fashion-MNIST: 70,000 garments of ten kinds, on a CPU.

    python train.py --config configs/fashion_mnist.py

Downloads four files, or takes them from `downloads/manual/fashion_mnist/` of the data folder.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.default()
    config.data.name = "fashion_mnist"
    config.augment.mirror = True
    return config
