"""Chest X-rays of children, normal or pneumonia, 64×64, on a CPU.

    python train.py --config configs/chest_xray_64.py

The data lie where `configs/chest_xray.py` says. Tried on generated images of that layout only.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.pictures()
    config.data.update(name="./data/chest_xray", size=(64, 64), channels=1)
    return config
