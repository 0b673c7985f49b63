"""MNIST with the published recipe to the letter: sizes, losses, optimizer, labels, 200,000 steps of one pair.

    python train.py --config configs/mnist_official.py

Far too long for a CPU: meant for an accelerator, and as the starting point of one's own data. What it computes is
held against figures of the published code in `tests/test_parity.py`; it has not been run to its end here.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.official()
    config.data.fallback = "mnist_5k"
    return config
