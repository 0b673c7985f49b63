"""Seconds that a training step takes, by preset and image size, and the minutes of the preset's steps at that speed.

    python -m benchmarks.step_time                                # eight minutes, most of them to compile
    python -m benchmarks.step_time --presets pictures --sizes 64

Builds the step of each preset with an untrained classifier, and calls it with one batch of random images. Writes
`steps.csv`. Classifier, oracle and validations are not counted: `train.minutes` plans with all of them.
"""

import argparse
import pathlib
import statistics
import sys
import time
from typing import Any

import jax
from rich.console import Console

from benchmarks.profiling import build_untrained, random_batch
from benchmarks.rows import write_rows
from cae_jax import presets
from cae_jax.cli.console import cache_folder
from cae_jax.config.check import check_settings
from cae_jax.parallel.sharding import data_mesh, split_batch
from cae_jax.training.warmup import warmup_pairs

NAMES = ("default", "pictures", "official")
CLASSES = 4
TIMED = 6  # calls, of which the median counts; the one before them compiles


def seconds_a_call(step: Any, state: Any, batch: Any) -> tuple[float, Any]:
    """The median time of calls of a compiled step, and the state after them."""
    batch = split_batch(data_mesh(), batch)
    state, _ = jax.block_until_ready(step(state, batch))
    found = []
    for _ in range(TIMED):
        began = time.perf_counter()
        state, _ = jax.block_until_ready(step(state, batch))
        found.append(time.perf_counter() - began)
    return statistics.median(found), state


def measure_preset(name: str, side: int) -> dict[str, Any]:
    """Times the steps of a preset on square grey images: a row of the table."""
    config = check_settings(getattr(presets, name)())
    shape, pairs = (side, side, 1), config.train.batch_size
    trainer = build_untrained(config, data_mesh(), shape, CLASSES)
    step, state = seconds_a_call(trainer.step, trainer.init(), random_batch(pairs, shape, CLASSES))
    warmup = 0.0
    if trainer.warmup_step:
        warmup, _ = seconds_a_call(trainer.warmup_step, state, random_batch(warmup_pairs(pairs), shape, CLASSES))
    return {
        "preset": name,
        "size": f"{side}×{side}",
        "pairs": pairs,
        "step": step,
        "images a second": 2 * pairs / step,
        "warm-up step": warmup,
        "steps": f"{config.train.steps:,}",
        "minutes": (config.train.steps * step + config.train.warmup_steps * warmup) / 60,
    }


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", choices=NAMES, default=NAMES[:2], help="presets to time")
    parser.add_argument("--sizes", nargs="+", type=int, default=[28, 64, 128], metavar="PIXELS", help="sides of images")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/step_time"), help="folder of steps.csv")
    options = parser.parse_args()
    jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    rows = [measure_preset(name, side) for side in options.sizes for name in options.presets]
    write_rows(rows, options.out / "steps.csv", Console(), f"seconds a step, {jax.devices()[0].device_kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
