"""Trains a CAE: `python train.py --config configs/mnist.py`. See `python train.py --help`."""

from cae_jax.cli.train import program

if __name__ == "__main__":
    program()
