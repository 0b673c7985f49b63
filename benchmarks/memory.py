"""Memory that a training step needs, by images, pairs, type and rematerialisation, as the compiler plans it.

    python -m benchmarks.memory --out runs/memory
    python -m benchmarks.memory --topology v5e:2x4    # a TPU slice that is not there; needs `pip install libtpu`

Compiles the step with the official sizes and runs none of it: the figures are exact for this device, and the same every
time. Writes `memory.csv` and `.png`. Pairs are those of each device. State: parameters, their average and the
optimizers' moments. Step: what the compiler sets aside for a step besides. Both are of each device.
"""

import argparse
import itertools
import pathlib
import sys

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.console import Console
from rich.progress import track

from benchmarks.rows import draw_bars, write_rows
from cae_jax.config import presets
from cae_jax.config.reading import apply_overrides
from cae_jax.parallel.sharding import data_mesh
from cae_jax.training.build import build_trainer

CASES = tuple(itertools.product(((256, 1), (64, 16)), ("float32", "bfloat16"), (False, True)))
CLASSES = 4


def measure(mesh: Mesh, side: int, pairs: int, dtype: str, remat: bool) -> dict[str, float]:
    """Gigabytes of state and step on a device."""
    changes = {"model.dtype": dtype, "discriminator.dtype": dtype, "train.remat": str(remat)}
    config = apply_overrides(presets.official(), changes)
    trainer = build_trainer(config, mesh, (side, side, 3), CLASSES, None)
    shape, split = (pairs * mesh.size, 2), NamedSharding(mesh, PartitionSpec("data"))
    batch = {
        "images": jax.ShapeDtypeStruct((*shape, side, side, 3), np.uint8, sharding=split),
        "labels": jax.ShapeDtypeStruct(shape, np.int32, sharding=split),
    }
    # The optimisations that this leaves out come after memory is planned.
    quick = {"xla_backend_optimization_level": 0} if mesh.devices.flat[0].platform == "cpu" else None
    plan = trainer.step.lower(trainer.shapes(), batch).compile(quick).memory_analysis()
    return {"state, GB": plan.output_size_in_bytes / 1e9, "step, GB": plan.temp_size_in_bytes / 1e9}


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/memory"), metavar="DIR")
    parser.add_argument("--topology", metavar="NAME", help="of a TPU slice, such as v5e:2x4; else the devices here")
    options = parser.parse_args()
    mesh = data_mesh(topologies.get_topology_desc(options.topology, "tpu").devices if options.topology else None)
    title = f"a step of the official sizes on {options.topology or mesh.devices.flat[0].platform}"
    rows = []
    for (side, pairs), dtype, remat in track(CASES, "compiling"):
        case = {"images": f"{side}x{side}", "pairs": pairs, "type": dtype, "remat": "yes" if remat else "no"}
        rows.append(case | measure(mesh, side, pairs, dtype, remat))
        write_rows(rows, options.out / "memory.csv", Console(), title)  # so far: a case can take a quarter of an hour
    labels = [f"{row['images']}, {row['pairs']} pairs, {row['type']}, remat {row['remat']}" for row in rows]
    draw_bars(rows, labels, ("state, GB", "step, GB"), options.out / "memory.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
