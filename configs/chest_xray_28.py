"""Chest X-rays of 28×28 pixels, normal or pneumonia, from a file in MedMNIST's layout, on a CPU.

    python train.py --config configs/chest_xray_28.py --config.data.name=FILE.npz

The file holds `train_images`, `train_labels`, `val_*` and `test_*`; PneumoniaMNIST (CC BY 4.0, https://medmnist.com) is
one. Without the change of name, `data/chest_xray_28.npz` is opened.
"""

from cae_jax.training import presets
from cae_jax.training.config import Config


def get_config() -> Config:
    config = presets.default()
    config.data.name = "data/chest_xray_28.npz"
    return config
