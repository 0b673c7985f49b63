"""The same classifier as JAX, ONNX and PyTorch: are the explanations the same, and what does a black box cost?

    python -m benchmarks.black_box --workdir runs/mnist

Explains test digits toward the class that is confident first, with the workdir's own classifier and with its twins,
which answer from numpy arrays. Needs onnx and onnxruntime; PyTorch where it is installed.
"""

import argparse
import importlib.util
import os
import pathlib
import sys
import tempfile
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.twins import torch_state, write_module, write_onnx
from cae_jax import Explainer, Explanation
from cae_jax.classifiers import Preparation, Reference, load_foreign

NCHW = Preparation(range=(-1.0, 1.0), layout="NCHW")


def references(folder: pathlib.Path, explainer: Explainer) -> dict[str, Reference]:
    """Writes the twins into a folder and says where they are."""
    params = explainer.classifier.params
    height, width, _ = explainer.record.image_shape
    assert height == width
    found = {"ONNX": Reference(str(write_onnx(folder / "model.onnx", params, height)), preparation=NCHW)}
    if importlib.util.find_spec("torch"):
        import torch  # pyright: ignore[reportMissingImports]

        write_module(folder, params)
        torch.save(torch_state(params), folder / "weights.pt")
        weights = str(folder / "weights.pt")
        found["PyTorch"] = Reference("own_model:for_torch", "torch", weights=weights, preparation=NCHW)
    return found


def timed(explainer: Explainer, images: np.ndarray, runs: int) -> tuple[Explanation, float]:
    """Explains, and the shortest of several times in seconds; the first, which compiles, does not count."""
    explain = lambda: explainer.explain(images, "any", residual=True, saliency="reconstruction")  # noqa: E731
    found, seconds = explain(), []
    for _ in range(runs):
        began = time.monotonic()
        found = explain()
        seconds.append(time.monotonic() - began)
    return found, min(seconds)


def main() -> None:
    """Prints a table, a row a twin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/mnist"), help="of a trained run")
    parser.add_argument("--num", type=int, default=1000, help="test images (1000)")
    parser.add_argument("--runs", type=int, default=2, help="timed runs of each (2)")
    options = parser.parse_args()
    traced = Explainer.load(options.workdir)
    test = traced.dataset.test
    images = test.take(np.arange(min(options.num, len(test))))
    ours, seconds = timed(traced, images, options.runs)
    table = Table(title=f"{len(images)} explanations; JAX took {seconds:.1f} s")
    for column in (
        "classifier",
        "same endings",
        "same targets",
        "largest difference of shifts",
        "times as long as JAX",
    ):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as name:
        sys.path.insert(0, name)
        for twin, reference in references(pathlib.Path(name), traced).items():
            black_box = Explainer.load(options.workdir, load_foreign(reference).predict)
            found, slower = timed(black_box, images, options.runs)
            both = (ours.status == found.status) & (ours.target == found.target) & ~np.isnan(ours.shift)
            table.add_row(
                twin,
                f"{(ours.status == found.status).sum()} of {len(images)}",
                f"{(ours.target == found.target).sum()}",
                f"{np.abs(ours.shift - found.shift)[both].max():.2g}" if both.any() else "none to compare",
                f"{slower / seconds:.2f}",
            )
    Console(width=int(os.environ.get("COLUMNS", 120))).print(table)


if __name__ == "__main__":
    main()
