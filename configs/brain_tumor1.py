"""Magnetic resonance images of the brain, without and with a tumour, 256×256, with the published sizes and recipe.

    python train.py --config configs/brain_tumor1.py --config.classifier.path=...

Data: https://www.kaggle.com/datasets/ahmedhamada0/brain-tumor-detection, `no` and `yes`.

Lay it out as `data/brain_tumor1/no/` and `data/brain_tumor1/yes/`, without `pred`, which has no labels; splits are
drawn. Or as the authors do, see `docs/own_data.md`.

200,000 steps of one pair are meant for an accelerator; `configs/brain_tumor1_64.py` is for a CPU.
Not run to its end here.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.official()
    config.data.update(name="./data/brain_tumor1", size=(256, 256), channels=3)
    return config
