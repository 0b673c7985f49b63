"""The search at the published width on 128×128 images, against eager PyTorch with the same weights.

    python -m benchmarks.search_official --out runs/search_official

There is no trained model of this size here: weights and codes are random, and a random linear classifier of pooled
pixels, sharp enough to be confident, is what flips. Speed does not depend on what the weights are; how many images a
path takes to flip does, and is in the table.
"""

import argparse
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console

from benchmarks import path_search_report, torch_recipe
from benchmarks.path_search import largest_difference, make_search, measure, time_torch
from cae_jax import presets
from cae_jax.cli import console as program
from cae_jax.counterfactual import Paths
from cae_jax.models import Individual, apply
from cae_jax.parallel.rows import count, take
from cae_jax.workdir.generator import build_model

SIDE, CELL, CLASSES, TOLERANCE = 128, 16, 10, 1 / 64


def draw_toy(rows: int, seed: int):
    """Parameters of the published sizes, a classifier's weights, and paths between codes of different answers."""
    rng = np.random.default_rng(seed)
    model = build_model(presets.official(), (SIDE, SIDE, 3), 2)
    params = jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, SIDE, SIDE, 3)))["params"]
    weights = rng.normal(size=((SIDE // CELL) ** 2 * 3, CLASSES)).astype(np.float32)

    @jax.jit
    def decode(individual, class_code):
        return apply(model, params, individual.code, class_code, method="decode") * 0.5 + 0.5

    pool = lambda x: x.reshape(len(x), SIDE // CELL, CELL, SIDE // CELL, CELL, 3).mean((2, 4)).reshape(len(x), -1)  # noqa: E731
    codes = rng.normal(size=(rows, SIDE // 4, SIDE // 4, 256)).astype(np.float32)
    ends = [rng.normal(0.0, 3.0, (rows, 8)).astype(np.float32) for _ in range(2)]
    one = [slice(i, i + 1) for i in range(rows)]
    pooled = [np.concatenate([pool(decode(Individual(codes[i]), e[i])) for i in one]) for e in ends]
    middle = np.concatenate(pooled).mean(0)
    weights *= 12.0 / ((np.concatenate(pooled) - middle) @ weights).std()
    answers = [((p - middle) @ weights).argmax(-1) for p in pooled]
    usable = answers[0] != answers[1]
    drawn = Paths(Individual(codes), np.stack(ends, axis=1), *(a.astype(np.int32) for a in answers))
    predict = lambda x: jax.nn.softmax((pool(x) - middle) @ weights)  # noqa: E731
    return params, decode, predict, take(drawn, usable), middle, weights


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, default=40, help="paths to draw; those that lead to another class count")
    parser.add_argument("--sample", type=int, default=6, help="of them for the slow ways")
    parser.add_argument("--slots", type=int, default=2, help="a few rows of this size keep all cores busy")
    options = parser.parse_args()

    def benchmark(console: Console) -> None:
        params, decode, predict, paths, middle, weights = draw_toy(options.rows, seed=0)
        device = torch_recipe.beside_jax()
        tensors = torch_recipe.to_torch(params["decoder"], device)
        centre, matrix = (torch.from_numpy(np.array(array)).to(device) for array in (middle, weights))

        def classify(images):
            pooled = F.avg_pool2d(images, CELL).permute(0, 2, 3, 1).reshape(len(images), -1)
            return ((pooled - centre) @ matrix).softmax(-1)

        draw = lambda code, class_code: torch_recipe.decode(tensors, code, class_code) * 0.5 + 0.5  # noqa: E731
        sample = take(paths, slice(options.sample))
        ours = make_search(decode, predict, count(paths), options.slots, TOLERANCE)
        one = make_search(decode, predict, 1, 1, TOLERANCE)
        timings = [
            measure("ours", ours, paths, repetitions=1),
            measure("ours, one at a time", one, sample, repetitions=1),
            *time_torch(torch_recipe, draw, classify, sample, TOLERANCE),
        ]
        console.print(path_search_report.table(timings, TOLERANCE))
        for other in timings[1:]:
            difference = largest_difference(other.crossings.shift, timings[0].crossings.shift[: other.rows])
            console.print(f"{other.name}: shifts differ by at most {difference:.4f}")
        options.out.mkdir(parents=True, exist_ok=True)
        path_search_report.write_csv(options.out / "search_official.csv", timings)

    return program.run(benchmark)


if __name__ == "__main__":
    sys.exit(main())
