"""Slices of brain scans of BraTS 2021, without and with a tumour, 64×64, on a CPU.

    python train.py --config configs/brain_tumor2_64.py

The data lie where `configs/brain_tumor2.py` says. Tried on generated images of that layout only.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.pictures()
    config.data.update(name="./data/brain_tumor2", size=(64, 64), channels=1)
    return config
