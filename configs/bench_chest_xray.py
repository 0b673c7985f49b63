"""Chest X-rays of 28×28 pixels, normal or pneumonia, from a file in MedMNIST's layout.

    cae compare --config configs/bench_chest_xray.py --config.train.data.name=FILE.npz

The file is not part of the project; PneumoniaMNIST (CC BY 4.0, https://medmnist.com) has this layout. Without the
change of name, `data/chest_xray_28.npz` is opened. By the first edition of the protocol, which
scored less, all of it took 17 minutes on 2 cores, and 30 on slower ones. `docs/comparison.md` has the tables.
"""

from cae_jax.config import Config
from cae_jax.config.protocol import bench_config


def get_config() -> Config:
    return bench_config("medmnist", {"data.name": "data/chest_xray_28.npz"})
