"""Explains a classifier's answers: `python explain.py --workdir runs/mnist`. See `python explain.py --help`."""

import sys

from cae_jax.cli.explain import main

if __name__ == "__main__":
    sys.exit(main())
