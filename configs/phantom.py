"""Phantoms: anatomy-like images of four classes with a known finding, 64×64, on a CPU.

    python train.py --config configs/phantom.py

The images are drawn on the spot; no download. `data.name` chooses the variant, for instance `phantom/2_64_mark` for two
classes and a planted shortcut (see `cae_jax/data/phantom_builder.py`).
"""

from cae_jax.training import presets
from cae_jax.training.config import Config


def get_config() -> Config:
    config = presets.default()
    config.data.name = "phantom/4_64"
    config.augment.max_rotation = 0.0  # individuals are upright
    config.oracle.steps = 900
    config.train.warmup_steps = 400
    return config
