"""Chest X-rays of children, normal or pneumonia, 256×256, with the published sizes and recipe.

    python train.py --config configs/chest_xray.py --config.classifier.path=...

Data: Kermany et al. 2018, https://data.mendeley.com/datasets/rscbjbr9sj/2 (CC BY 4.0), `ChestXRay2017`.

Lay it out as it comes: `data/chest_xray/train/` and `data/chest_xray/test/` with the folders `NORMAL` and `PNEUMONIA`;
or as the authors do, see `docs/own_data.md`.

200,000 steps of one pair are meant for an accelerator; `configs/chest_xray_64.py` is for a CPU.
Not run to its end here.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.official()
    config.data.update(name="./data/chest_xray", size=(256, 256), channels=3)
    return config
