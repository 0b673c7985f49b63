"""Optical coherence tomography of the retina, four classes, 64×64, on a CPU.

    python train.py --config configs/oct_64.py

The data lie where `configs/oct.py` says. Tried on generated images of that layout only.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.pictures()
    config.data.update(name="./data/oct", size=(64, 64), channels=1)
    return config
