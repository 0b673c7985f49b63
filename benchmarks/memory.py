"""What a training step needs of a device, as the compiler plans it: memory, and what devices exchange.

    python -m benchmarks.memory --out runs/memory
    python -m benchmarks.memory --topology v5e:2x4    # a TPU slice that is not there; needs `pip install 'jax[tpu]'`

Compiles steps and runs none of them: the figures are exact for this device, and the same every time. Writes
`memory.csv` and `.png`. Pairs, state and step are those of each device. State: parameters, their average and the
optimizers' moments. Step: what the compiler sets aside for a step besides. Exchanged: what the devices' sums and
gathered arrays hold in a step, each counted once.
"""

import argparse
import math
import pathlib
import re
import sys
from collections import Counter
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.console import Console
from rich.progress import track

from benchmarks.profiling import build_untrained
from benchmarks.rows import draw_bars, write_rows
from cae_jax import presets
from cae_jax.config.reading import apply_overrides
from cae_jax.parallel.sharding import data_mesh

CLASSES = 4
KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
EXCHANGE = re.compile(rf"= (\(.*?\)|\S+) ({KINDS})(-start)?\(")
ARRAY = re.compile(r"([a-z]+\d*)\[([\d,]*)\]")


class Case(NamedTuple):
    """A step: preset, side of the images, pairs a device, type of the networks, whether passes are computed anew."""

    preset: str
    side: int
    pairs: int
    dtype: str = "float32"
    remat: bool = False

    def named(self) -> dict[str, str | int]:
        """The first columns of its row."""
        images, remat = f"{self.side}x{self.side}", "yes" if self.remat else "no"
        return {"preset": self.preset, "images": images, "pairs": self.pairs, "type": self.dtype, "remat": remat}


HERE = tuple(
    Case("official", *size, dtype, remat)
    for size in ((256, 1), (64, 16))
    for dtype in ("float32", "bfloat16")
    for remat in (False, True)
)
ON_A_SLICE = (
    Case("pictures", 64, 8),
    Case("pictures", 128, 8),
    Case("official", 256, 1, "bfloat16"),
    Case("official", 256, 1),
)


def exchanged(program: str) -> tuple[str, float]:
    """What devices exchange in a compiled program: the number of operations by kind, and the bytes of their results.

    Args:
        program: text of the compiled program. Of an operation that begins and ends apart, the beginning counts; of
            what it names, operands and results, the last.
    """
    kinds, total = Counter(), 0
    for shapes, kind, begins in EXCHANGE.findall(program):
        kinds[kind] += 1
        arrays = [
            math.prod(int(side) for side in sides.split(",") if side) * size_of(dtype)
            for dtype, sides in ARRAY.findall(shapes)
        ]
        one_of_many = begins and kind != "all-reduce"
        total += arrays[-1] if one_of_many else sum(arrays)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())) or "none", float(total)


def size_of(dtype: str) -> float:
    """Bytes of a number by the compiler's name of its type, such as `f32`, `bf16` or `pred`."""
    bits = re.search(r"\d+", dtype)
    return int(bits[0]) / 8 if bits else 1


def measure(mesh: Mesh, case: Case) -> dict[str, float | str]:
    """Gigabytes of state and step on a device, and what the devices exchange."""
    changes = {"model.dtype": case.dtype, "discriminator.dtype": case.dtype, "train.remat": str(case.remat)}
    config = apply_overrides(getattr(presets, case.preset)(), changes)
    channels = 3 if case.preset == "official" else 1
    trainer = build_untrained(config, mesh, (case.side, case.side, channels), CLASSES)
    shape, split = (case.pairs * mesh.size, 2), NamedSharding(mesh, PartitionSpec("data"))
    batch = {
        "images": jax.ShapeDtypeStruct((*shape, case.side, case.side, channels), np.uint8, sharding=split),
        "labels": jax.ShapeDtypeStruct(shape, np.int32, sharding=split),
    }
    # The optimisations that this leaves out come after memory is planned.
    quick = {"xla_backend_optimization_level": 0} if mesh.devices.flat[0].platform == "cpu" else None
    compiled = trainer.step.lower(trainer.shapes(), batch).compile(quick)
    plan = compiled.memory_analysis()
    kinds, total = exchanged(compiled.as_text())
    return {
        "state, GB": plan.output_size_in_bytes / 1e9,
        "step, GB": plan.temp_size_in_bytes / 1e9,
        "exchanges": kinds,
        "exchanged, MB": total / 1e6,
    }


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/memory"), metavar="DIR")
    parser.add_argument("--topology", metavar="NAME", help="of a TPU slice, such as v5e:2x4; else the devices here")
    options = parser.parse_args()
    mesh = data_mesh(topologies.get_topology_desc(options.topology, "tpu").devices if options.topology else None)
    title = f"a step on {options.topology or mesh.devices.flat[0].platform}"
    cases, rows = ON_A_SLICE if options.topology else HERE, []
    for case in track(cases, "compiling"):
        rows.append(case.named() | measure(mesh, case))
        write_rows(rows, options.out / "memory.csv", Console(), title)  # so far: a case can take a quarter of an hour
    labels = [", ".join(f"{name} {value}" for name, value in case.named().items()) for case in cases]
    draw_bars(rows, labels, ("state, GB", "step, GB"), options.out / "memory.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
