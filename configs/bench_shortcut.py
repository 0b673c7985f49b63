"""A planted shortcut: does the map show the mark if, and only if, the classifier looks at it?

    cae compare --config configs/bench_shortcut.py
    cae compare --config configs/bench_shortcut.py --workdir runs/bench_no_shortcut \\
        --config.train.data.name=phantom/2_32_mark_random

In the first, a mark in the corner goes with the class in training, and the classifier learns it. In the second the mark
is on every other image whatever the class. The column is 'mass on the mark'.
"""

from cae_jax.config import Config
from cae_jax.config.protocol import bench_config


def get_config() -> Config:
    config = bench_config(
        "phantom", {"data.name": "phantom/2_32_mark", "train.steps": "2400", "train.checkpoint_every": "400"}
    )
    config.protocol.images = 256
    return config
