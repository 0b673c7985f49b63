"""Phantoms, whose true answers are known: CAE, baselines and controls on 256 held-out images of 64×64.

    cae compare --config configs/bench_synthetic.py

Trains `configs/phantom.py` into the workdir's `model/` first.
"""

from cae_jax.config import Config
from cae_jax.config.protocol import bench_config


def get_config() -> Config:
    config = bench_config("phantom")
    config.protocol.images = 256
    config.protocol.patch = 4
    config.protocol.steps = 32
    # chosen on validation: what changed is where the finding is
    config.attribution.update(saliency="reconstruction", strategy="geodesic", confidence=0.9)
    return config
