"""Explains a classifier's answers: `python explain.py --workdir runs/mnist`. See `python explain.py --help`."""

import sys

from cae_jax.cli.explain import PROGRAM

if __name__ == "__main__":
    PROGRAM.start(sys.argv[1:], "explain.py")
