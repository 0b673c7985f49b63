"""Ten short runs of different seeds: does any of them collapse?

    python benchmarks/collapse.py --workdir runs/collapse

All runs share one classifier and one oracle. Prints the last validation of each; run again, it goes on.
"""

import argparse
import json
import pathlib
import sys

from rich.console import Console

from cae_jax.cli import console as program
from cae_jax.config.reading import apply_overrides, find_config, load_config
from cae_jax.training import loop
from cae_jax.training.run import prepare


def short_run(workdir: pathlib.Path, seed: int, steps: int, console: Console) -> dict[str, float | str]:
    """Trains one seed for some steps; returns its last validation and why it collapsed, or ''."""
    changes = {"seed": str(seed), "train.steps": str(steps), "train.checkpoint_every": str(steps // 2)}
    if seed:
        changes |= {f"{part}.path": str(workdir / "seed0" / part) for part in ("classifier", "oracle")}
    folder = workdir / f"seed{seed}"
    run = prepare(apply_overrides(load_config(find_config("mnist_5k")), changes), folder, console)
    fault = loop.fit(run)["fault"]
    collapsed = fault if fault.startswith("collapsed") else ""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "validation"][-1] | {"collapsed": collapsed}


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()

    def runs(console: Console) -> None:
        rows = [short_run(options.workdir, seed, options.steps, console) for seed in range(options.seeds)]
        for seed, row in enumerate(rows):
            console.print(
                f"seed {seed}: swaps {row['swap_flip_rate']:.3f}, kept {row['reconstruction_keep_rate']:.3f}, kNN "
                f"{row['class_code_knn_accuracy']:.3f}; {row['collapsed'] or 'no collapse'}"
            )

    return program.run(runs)


if __name__ == "__main__":
    sys.exit(main())
