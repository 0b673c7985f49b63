"""The search at the published width on 128×128 images, against eager PyTorch with the same weights.

    python -m benchmarks.search_official --out runs/search_official

There is no trained model of this size here: weights and codes are random, and a random linear classifier of pooled
pixels, sharp enough to be confident, is what flips. Speed does not depend on what the weights are; how many images a
path takes to flip does, and is in the table.
"""

import argparse
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console

from benchmarks import path_search_report, torch_recipe
from benchmarks.path_search import CONFIDENCE, Timing, largest_difference, make_search, measure, time_torch
from cae_jax import presets
from cae_jax.cli import console as program
from cae_jax.config import Config
from cae_jax.counterfactual import Paths, needed_odds
from cae_jax.models import Individual, apply
from cae_jax.parallel.rows import count, take
from cae_jax.workdir.generator import build_model

SIDE, CELLS, CLASSES, TOLERANCE = 128, 8, 10, 1 / 64  # the classifier sees the means of 8×8 cells


class Toy(NamedTuple):
    """A decoder and a classifier that have learned nothing, and paths between codes of different answers.

    Attributes:
        params: of the generator.
        decode: individual and class codes to images in [0, 1].
        predict: images to probabilities.
        paths: straight ones.
        centre: that the classifier subtracts from cells.
        weights: of the classifier, a column a class.
    """

    params: Any
    decode: Callable
    predict: Callable
    paths: Paths
    centre: np.ndarray
    weights: np.ndarray


def draw_toy(config: Config, side: int, rows: int, seed: int) -> Toy:
    """Draws parameters, a classifier's weights, and codes, of images of a side that `CELLS` divides."""
    rng = np.random.default_rng(seed)
    model, cell = build_model(config, (side, side, 3), 2), side // CELLS
    params = jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, side, side, 3)))["params"]
    encode = lambda x: apply(model, params, x, method="encode")  # noqa: E731
    individual, class_code = jax.eval_shape(encode, jax.ShapeDtypeStruct((1, side, side, 3), np.float32))
    weights = rng.normal(size=(CELLS**2 * 3, CLASSES)).astype(np.float32)

    @jax.jit
    def decode(individual, class_code):
        return apply(model, params, individual.code, class_code, method="decode") * 0.5 + 0.5

    pool = lambda x: x.reshape(len(x), CELLS, cell, CELLS, cell, 3).mean((2, 4)).reshape(len(x), -1)  # noqa: E731
    codes = rng.normal(size=(rows, *individual.shape[1:])).astype(np.float32)
    ends = [rng.normal(0.0, 3.0, (rows, class_code.shape[-1])).astype(np.float32) for _ in range(2)]
    one = [slice(i, i + 1) for i in range(rows)]
    pooled = [np.concatenate([pool(decode(Individual(codes[i]), e[i])) for i in one]) for e in ends]
    middle = np.concatenate(pooled).mean(0)
    weights *= 12.0 / ((np.concatenate(pooled) - middle) @ weights).std()
    answers = [((p - middle) @ weights).argmax(-1) for p in pooled]
    usable = answers[0] != answers[1]
    answered = [a.astype(np.int32) for a in answers]
    drawn = Paths(Individual(codes), np.stack(ends, axis=1), *answered, needed_odds(CONFIDENCE, answers[1], None))
    predict = lambda x: jax.nn.softmax((pool(x) - middle) @ weights)  # noqa: E731
    return Toy(params, decode, predict, take(drawn, usable), middle, weights)


def time_all(toy: Toy, sample: int, slots: int) -> list[Timing]:
    """Times our search on all rows, and on some of them ours one at a time and PyTorch's two, on the same device.

    Args:
        toy: as drawn.
        sample: rows for the slow ways.
        slots: rows that ours decodes together.
    """
    device = torch_recipe.beside_jax()
    tensors = torch_recipe.to_torch(toy.params["decoder"], device)
    centre, matrix = (torch.from_numpy(np.array(array)).to(device) for array in (toy.centre, toy.weights))

    def classify(images):
        pooled = F.avg_pool2d(images, images.shape[-1] // CELLS).permute(0, 2, 3, 1).reshape(len(images), -1)
        return ((pooled - centre) @ matrix).softmax(-1)

    draw = lambda _, code, class_code: torch_recipe.decode(tensors, code, class_code) * 0.5 + 0.5  # noqa: E731
    some = take(toy.paths, slice(sample))
    ours = make_search(toy.decode, toy.predict, count(toy.paths), slots, TOLERANCE)
    one = make_search(toy.decode, toy.predict, 1, 1, TOLERANCE)
    return [
        measure("ours", ours, toy.paths, repetitions=1),
        measure("ours, one at a time", one, some, repetitions=1),
        *time_torch(torch_recipe, draw, classify, some, TOLERANCE),
    ]


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, default=40, help="paths to draw; those that lead to another class count")
    parser.add_argument("--sample", type=int, default=6, help="of them for the slow ways")
    parser.add_argument("--slots", type=int, default=2, help="a few rows of this size keep all cores busy")
    options = parser.parse_args()

    def benchmark(console: Console) -> None:
        toy = draw_toy(presets.official(), SIDE, options.rows, seed=0)
        timings = time_all(toy, options.sample, options.slots)
        console.print(path_search_report.table(timings, TOLERANCE))
        for other in timings[1:]:
            difference = largest_difference(other.crossings.shift, timings[0].crossings.shift[: other.rows])
            console.print(f"{other.name}: shifts differ by at most {difference:.4f}")
        options.out.mkdir(parents=True, exist_ok=True)
        path_search_report.write_csv(options.out / "search_official.csv", timings)

    return program.run(benchmark)


if __name__ == "__main__":
    sys.exit(main())
