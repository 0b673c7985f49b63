"""MNIST: CAE, baselines and controls on 512 held-out digits.

    cae compare --config configs/bench_mnist.py

Trains `configs/mnist.py` into the workdir's `model/` first; `--model runs/mnist` takes a model that is there. With
one, the comparison took 18 minutes on 2 cores. `docs/comparison.md` has the tables.
"""

from cae_jax.config import Config
from cae_jax.config.protocol import bench_config


def get_config() -> Config:
    return bench_config("mnist")
