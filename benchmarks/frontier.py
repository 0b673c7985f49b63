"""Leakage against reconstruction: trains a few settings of the default preset and scores them on the validation split.

    python benchmarks/frontier.py --workdir runs/frontier --plot docs/images/frontier.png

Every setting is a run of `configs/mnist_5k.py` that shares one classifier and one oracle. Run again, it goes on.
"""

import argparse
import csv
import pathlib
import sys

from matplotlib.figure import Figure
from rich.console import Console

from cae_jax.cli import console as program
from cae_jax.training import loop
from cae_jax.training.config import apply_overrides, find_config, load_config
from cae_jax.training.run import prepare

SETTINGS = {
    f"{channels} channels, weight {weight}": {
        "model.individual_code_channels": str(channels),
        "loss.leakage": str(weight),
    }
    for channels, weight in ((8, 0), (8, 4), (8, 10), (8, 50), (4, 10), (16, 10))
}
COLUMNS = (
    "swap_flip_rate",
    "swap_oracle_rate",
    "reconstruction_keep_rate",
    "reconstruction_l1",
    "class_code_knn_accuracy",
    "individual_code_leakage_linear",
    "individual_code_leakage_convolutional",
)


def measure(workdir: pathlib.Path, steps: int, console: Console) -> list[dict[str, float | str]]:
    """Trains every setting for some steps and returns a row of validation scores for each."""
    rows = []
    shared = {"train.steps": str(steps)}
    for name, changes in SETTINGS.items():
        folder = workdir / name.replace(" ", "_").replace(",", "")
        config = apply_overrides(load_config(find_config("mnist_5k")), shared | changes)
        run = prepare(config, folder, console)
        for part in ("classifier", "oracle"):  # those of the first setting serve all
            shared.setdefault(f"{part}.path", str(folder / part))
        loop.fit(run)
        best = run.store.best()
        assert best is not None
        scores = run.evaluator("validation").evaluate(
            run.store.load(best, "ema", run.trainer.init().ema), config.evaluation.swaps
        )
        rows.append({"setting": name, **{column: round(scores[column], 4) for column in COLUMNS}})
        console.print(rows[-1])
    return rows


def plot(rows: list[dict[str, float | str]], path: pathlib.Path) -> None:
    """Draws leakage over reconstruction L1, and the rates that pay for it, a labelled point a setting."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    reconstruction = [row["reconstruction_l1"] for row in rows]
    for kind, marker in (("linear", "o"), ("convolutional", "s")):
        leakage = [row[f"individual_code_leakage_{kind}"] for row in rows]
        left.plot(reconstruction, leakage, marker, label=f"{kind} probe")
    for kind, marker in (("swap_flip_rate", "o"), ("swap_oracle_rate", "s"), ("reconstruction_keep_rate", "^")):
        right.plot(reconstruction, [row[kind] for row in rows], marker, label=kind)
    for row in rows:
        place = (row["reconstruction_l1"], row["individual_code_leakage_linear"])
        left.annotate(str(row["setting"]), place, (4, -10), textcoords="offset points", fontsize=7)
    left.axhline(0.1, color="black", linewidth=0.8, label="chance")
    left.set_ylabel("individual-code leakage")
    left.set_ylim(0, 1)
    right.set_ylabel("rate")
    for axes in (left, right):
        axes.set_xlabel("reconstruction L1 (validation, in [0, 1])")
        axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--plot", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=700)
    options = parser.parse_args()

    def frontier(console: Console) -> None:
        rows = measure(options.workdir, options.steps, console)
        with (options.workdir / "frontier.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["setting", *COLUMNS])
            writer.writeheader()
            writer.writerows(rows)
        plot(rows, options.plot)

    return program.run(frontier)


if __name__ == "__main__":
    sys.exit(main())
