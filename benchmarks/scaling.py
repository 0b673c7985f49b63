"""Training on 1, 2, 4 and 8 devices: images a second, and whether every number of devices computes the same.

    python -m benchmarks.scaling --out runs/scaling

Each number of devices has a process of its own, on the first devices of the machine; on a CPU they are fake ones, which
share its cores: what they show is the cost of sharing, and no gain. Per device as many pairs as on one (weak), and
as many in all (strong), at several sizes of the batch. Then 200 steps from the same state with the same pairs on each
number of devices: the first step's losses must agree to 1e-5 of their size, or the exit code is 1; later ones drift
apart, as the recipe amplifies rounding, and the table says how far.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

import matplotlib
import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.rows import write_rows

DEVICES = (1, 2, 4, 8)
PAIRS = (8, 16, 32)  # a device
TIMED = 5  # steps
CURVE = 200  # steps
SMALL = {
    "model.width": "4",
    "model.class_width": "8",
    "model.residual_blocks": "1",
    "discriminator.width": "8",
}


def work(devices: int) -> dict[str, Any]:
    """In a process with so many devices: speeds by pairs, and the losses of `CURVE` steps."""
    import jax

    from cae_jax.config import presets
    from cae_jax.config.reading import apply_overrides
    from cae_jax.data import PairSampler, open_dataset
    from cae_jax.parallel.sharding import data_mesh, split_batch
    from cae_jax.training.build import build_trainer

    assert jax.device_count() == devices
    mesh, source = data_mesh(), open_dataset("mnist_5k").train
    config = apply_overrides(presets.black_box(), SMALL | {"train.steps": str(CURVE)})
    trainer = build_trainer(config, mesh, source.take(np.arange(1)).shape[1:], 10, None)

    def batch(pairs: int, step: int) -> dict[str, jax.Array]:
        sampler = PairSampler(source, source.labels, pairs, seed=0)
        return split_batch(mesh, sampler(step))

    speeds = {}
    for pairs in sorted({*PAIRS, *(devices * each for each in PAIRS)}):
        state, shared, seconds = trainer.init(), batch(pairs, 0), []
        for _ in range(TIMED + 1):
            began = time.perf_counter()
            state, terms = trainer.step(state, shared)
            jax.block_until_ready((state.step, terms))
            seconds.append(time.perf_counter() - began)
        speeds[pairs] = 2 * pairs / float(np.median(seconds[1:]))
    state, curve = trainer.init(), []
    for step in range(CURVE):
        state, terms = trainer.step(state, batch(PAIRS[0], step))
        curve.append({name: float(value) for name, value in terms.items()})
    return {"speeds": speeds, "curve": curve}


def run(devices: int) -> dict[str, Any]:
    """`work` in another process."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    visible = ",".join(map(str, range(devices)))
    environment = os.environ | {"XLA_FLAGS": flags, "CUDA_VISIBLE_DEVICES": visible}
    command = [sys.executable, "-m", "benchmarks.scaling", "--worker", str(devices)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {"speeds": {int(pairs): speed for pairs, speed in found["speeds"].items()}, "curve": found["curve"]}


def first_difference(one: list[dict[str, float]], many: list[dict[str, float]]) -> float:
    """The largest difference of a first step's terms, relative to their size."""
    return max(abs(many[0][name] - value) / max(abs(value), 1e-3) for name, value in one[0].items())


def late_difference(one: list[dict[str, float]], many: list[dict[str, float]]) -> float:
    """The difference of the generator's total over the last 50 steps on average, relative to it."""
    means = [np.mean([terms["generator_total"] for terms in curve[-50:]]) for curve in (one, many)]
    return float(abs(means[1] - means[0]) / means[0])


def draw(found: dict[int, dict[str, Any]], path: pathlib.Path) -> None:
    """Images a second over devices, and the curves of all of them."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (speed, curve) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for pairs in PAIRS:
        weak = [found[devices]["speeds"][devices * pairs] for devices in found]
        strong = [found[devices]["speeds"][pairs] for devices in found]
        (line,) = speed.plot(list(found), weak, "o-", label=f"{pairs} pairs a device")
        speed.plot(list(found), strong, "o--", color=line.get_color(), label=f"{pairs} pairs in all")
    speed.set(xlabel="devices", ylabel="images/s", xscale="log", xticks=list(found), xticklabels=list(found))
    speed.minorticks_off()
    speed.set_ylim(bottom=0)
    speed.legend()
    for devices, result in found.items():
        curve.plot([terms["generator_total"] for terms in result["curve"]], label=f"{devices} devices", linewidth=1)
    curve.set(xlabel="step", ylabel="generator's total", yscale="log")
    for axis_format in (curve.yaxis.set_major_formatter, curve.yaxis.set_minor_formatter):
        axis_format("{x:.0f}")
    curve.legend()
    figure.savefig(path, dpi=120)


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/scaling"), metavar="DIR")
    parser.add_argument("--devices", type=int, nargs="+", default=DEVICES, metavar="N", help="1 first (1 2 4 8)")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options.worker)))
        return 0
    found = {devices: run(devices) for devices in track(options.devices, "numbers of devices")}
    one = found[options.devices[0]]
    rows = [
        {
            "devices": devices,
            **{f"{pairs} a device, images/s": result["speeds"][devices * pairs] for pairs in PAIRS},
            **{f"{pairs} in all, images/s": result["speeds"][pairs] for pairs in PAIRS},
            "first step differs by": first_difference(one["curve"], result["curve"]),
            f"steps {CURVE - 49} to {CURVE} differ by": late_difference(one["curve"], result["curve"]),
        }
        for devices, result in found.items()
    ]
    console = Console()
    write_rows(rows, options.out / "scaling.csv", console)
    draw(found, options.out / "scaling.png")
    if (apart := max(row["first step differs by"] for row in rows)) > 1e-5:
        console.print(f"the first step's losses differ by {apart:.2g} of their size", style="bold red")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
