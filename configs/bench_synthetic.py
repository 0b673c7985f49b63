"""Phantoms, whose true answers are known: CAE, baselines and controls on 256 held-out images of 64×64.

    python -m cae_jax.cli.compare --config configs/bench_synthetic.py

Trains `configs/phantom.py` into the workdir's `model/` first.
"""

from cae_jax.comparison.protocol import bench_config
from cae_jax.config.reading import Config


def get_config() -> Config:
    config = bench_config("phantom")
    config.protocol.images = 256
    config.protocol.patch = 4
    config.protocol.steps = 32
    # chosen on validation: what changed is where the finding is
    config.attribution.update(saliency="reconstruction", strategy="geodesic", confidence=0.9)
    return config
