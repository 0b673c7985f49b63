"""One of several processes of `test_processes.py`: trains the small run, then explains and encodes with it."""

import pathlib
import sys

import conftest  # noqa: F401  the compilation of all tests
import numpy as np
from rich.console import Console

from cae_jax.parallel.processes import is_first, start


def main(address: str, workdir: pathlib.Path) -> None:
    start(address)

    from small_run import small_config

    from cae_jax import Explainer
    from cae_jax.explaining import SplitInputs, encode_splits, explain_to_folder
    from cae_jax.training import loop

    loop.train(small_config(), workdir, Console(quiet=not is_first(), width=200))
    explainer = Explainer.load(workdir)
    inputs = SplitInputs(explainer.dataset.train, "train", list(range(70)))
    rows = explain_to_folder(explainer, inputs, "any", workdir / "explained")
    codes = encode_splits(explainer, ["validation"])
    np.savez(f"{workdir}.{address.rpartition(',')[2]}.npz", rows=len(rows), class_codes=codes.class_codes)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
