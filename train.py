"""Trains a CAE: `python train.py --config configs/mnist.py`. See `python train.py --help`."""

import sys

from cae_jax.cli.train import PROGRAM

if __name__ == "__main__":
    PROGRAM.start(sys.argv[1:], "train.py")
