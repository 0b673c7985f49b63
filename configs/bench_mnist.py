"""MNIST: CAE, baselines and controls on 512 held-out digits.

    cae compare --config configs/bench_mnist.py

Trains `configs/mnist.py` into the workdir's `model/` first; `--model runs/mnist` takes a model that is there. By the
first edition of the protocol, which scored less, all of it took 21 minutes on 2 cores, the training 8 of them, and 34
on slower ones. `docs/comparison.md` has the tables.
"""

from cae_jax.config import Config
from cae_jax.config.protocol import bench_config


def get_config() -> Config:
    return bench_config("mnist")
