"""Small phantoms, 32×32: `configs/phantom.py` cut down for a CPU, for an explainer that fits into the package.

python train.py --config configs/phantom_32.py

It was not trained to its end yet, so what it reaches is not known.
"""

from cae_jax.config import Config, find_config, load_config


def get_config() -> Config:
    config = load_config(find_config("phantom"))
    config.data.name = "phantom/4_32_n1500"
    config.train.update(steps=4800, checkpoint_every=800)
    return config
