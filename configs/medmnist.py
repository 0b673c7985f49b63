"""Any of MedMNIST's data sets (https://medmnist.com, CC BY 4.0), or a file of that layout, on a CPU.

    python train.py --config configs/medmnist.py --config.data.name=pneumoniamnist.npz

The file holds `train_images`, `train_labels`, `val_*` and `test_*`; without the change of name, `data/medmnist.npz` is
opened.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.default()
    config.data.name = "data/medmnist.npz"
    return config
