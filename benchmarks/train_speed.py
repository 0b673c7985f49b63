"""Images per second in training: our compiled step against the published recipe in eager PyTorch, in one run.

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python -m benchmarks.train_speed --out runs/train_speed

Same weights, same images, float32 on both sides, all cores, large pages (docs/performance.md says why).
The two take turns, so that whatever else the machine does concerns both. A turn is two steps, of which the second is
timed: what a side frees goes back to the system while the other one works, and its next step pays for that. Before
anything is timed, the losses of three first steps (without dropout) must agree. Needs PyTorch. Writes `train_speed.csv`
and `.png`, and prints each line with the share of a matrix product measured in the same run.
"""

import argparse
import pathlib
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from benchmarks.profiling import measure_ceiling
from benchmarks.rows import draw_bars, write_rows
from benchmarks.torch_recipe import beside_jax
from benchmarks.torch_training import PublishedStep
from cae_jax.cli.console import cache_folder
from cae_jax.config import presets
from cae_jax.config.reading import Config, apply_overrides
from cae_jax.images import to_model
from cae_jax.parallel.sharding import data_mesh
from cae_jax.training.build import Trainer, build_trainer

CASES = {  # name: height and width, channels, pairs, and turns of each side
    "256x256, 1 pair": (256, 3, 1, 3),
    "64x64, 16 pairs": (64, 3, 16, 3),
    "MNIST, 16 pairs": (28, 1, 16, 5),
}
CLASSES = 2


def make_batch(side: int, channels: int, pairs: int, seed: int) -> dict[str, np.ndarray]:
    """Random images of smooth brightness, and the labels 0 and 1 of every pair."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (pairs, 2, -(-side // 8), -(-side // 8), channels), np.uint8)
    images = coarse.repeat(8, axis=2).repeat(8, axis=3)[:, :, :side, :side]
    return {"images": images, "labels": np.tile(np.arange(2, dtype=np.int32), (pairs, 1))}


def configure(dropout: float) -> Config:
    """The official preset."""
    config = presets.official()
    return apply_overrides(config, {"discriminator.dropout": str(dropout)})


def build(side: int, channels: int, dropout: float) -> Trainer:
    """Our step for images of a size."""
    return build_trainer(configure(dropout), data_mesh(), (side, side, channels), CLASSES, None)


def for_torch(batch: dict[str, np.ndarray], stride: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The same images as PyTorch sees them on a device, padded alike, and the labels."""
    x = np.asarray(to_model(jnp.asarray(batch["images"].reshape(-1, *batch["images"].shape[2:])), stride))
    labels = torch.from_numpy(batch["labels"].reshape(-1).astype(np.int64))
    return torch.from_numpy(np.array(np.moveaxis(x, -1, 1), order="C")).to(device), labels.to(device)


def published(trainer: Trainer, dropout: float, device: torch.device, autocast: bool = False) -> PublishedStep:
    """PyTorch's step from the weights that ours begins with."""
    state = jax.device_get(trainer.init().replace(key=None))
    return PublishedStep(state.generator, state.discriminator, 1e-4, dropout, device, autocast)


def check(side: int, channels: int) -> float:
    """The largest relative difference of the two totals of first steps, each of another pair, without dropout."""
    trainer, apart, device = build(side, channels, 0.0), 0.0, beside_jax()
    for seed in range(3):
        batch = make_batch(side, channels, 1, seed)
        theirs = published(trainer, 0.0, device)(*for_torch(batch, trainer.networks.model.stride, device))
        _, ours = trainer.step(trainer.init(), batch)
        apart = max(apart, *(abs(float(ours[name]) / float(value) - 1.0) for name, value in theirs.items()))
    return apart


def second_of_two(step: Callable[[], object]) -> float:
    """The seconds that the second of two steps takes."""
    step()
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def measure(side: int, channels: int, pairs: int, turns: int, title: str) -> dict[str, float]:
    """Times both; see `main` for the columns."""
    trainer = build(side, channels, 0.4)
    batch = make_batch(side, channels, pairs, 0)
    device = beside_jax()
    eager = published(trainer, 0.4, device)
    x, labels = for_torch(batch, trainer.networks.model.stride, device)
    state = trainer.init()
    compiled = trainer.step.lower(state, batch).compile()
    operations = compiled.cost_analysis()["flops"]

    def step() -> None:
        nonlocal state
        state, terms = compiled(state, batch)
        jax.block_until_ready((state.step, terms))

    def published_step() -> None:
        for loss in eager(x, labels).values():
            loss.item()  # waits for it

    seconds = [(second_of_two(step), second_of_two(published_step)) for _ in track(range(turns), title)]
    own, other = np.median(seconds, axis=0)
    return {
        "ours, images/s": 2 * pairs / own,
        "PyTorch, images/s": 2 * pairs / other,
        "times faster": other / own,
        "GFLOP/step (ours, by XLA)": operations / 1e9,
        "GFLOP/s": operations / own / 1e9,
    }


def main() -> int:
    """Entry point; returns the exit code: 1 if the two do not compute the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/train_speed"), metavar="DIR")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this one; can be repeated")
    options = parser.parse_args()
    console = Console()
    jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    if (apart := check(64, 3)) > 1e-3:
        console.print(f"the first steps' losses differ by {apart:.2g} of their size", style="bold red")
        return 1
    console.print(f"the first steps' losses agree to {apart:.2g} of their size")
    ceiling = measure_ceiling()
    rows = []
    for name in options.case or CASES:
        side, channels, pairs, turns = CASES[name]
        console.print(f"compiling for {name}")
        found = measure(side, channels, pairs, turns, name)
        rows.append({"case": name, **found, "of the matrix product": found["GFLOP/s"] * 1e9 / ceiling.operations})
    title = f"matrix product: {ceiling.operations / 1e9:.0f} GFLOP/s"
    write_rows(rows, options.out / "train_speed.csv", console, title)
    labels = [f"{row['case']}\n{row['times faster']:.2f} times" for row in rows]
    draw_bars(rows, labels, ("ours, images/s", "PyTorch, images/s"), options.out / "train_speed.png", "log")
    return 0


if __name__ == "__main__":
    sys.exit(main())
