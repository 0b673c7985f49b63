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
    "16 channels, no adversary": {"model.individual_code_channels": "16", "loss.leakage": "0"},
    "16 channels": {"model.individual_code_channels": "16"},
    "8 channels": {"model.individual_code_channels": "8"},
    "4 channels": {"model.individual_code_channels": "4"},
    "2 channels": {"model.individual_code_channels": "2"},
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
    """Draws leakage over reconstruction L1, a labelled point a setting."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for kind, marker in (("linear", "o"), ("convolutional", "s")):
        points = [(row["reconstruction_l1"], row[f"individual_code_leakage_{kind}"]) for row in rows]
        axes.plot(*zip(*points, strict=True), marker=marker, linestyle=":", label=f"{kind} probe")
    for row in rows:
        axes.annotate(
            str(row["setting"]), (row["reconstruction_l1"], row["individual_code_leakage_linear"]), fontsize=7
        )
    axes.axhline(0.1, color="black", linewidth=0.8, label="chance")
    axes.set_xlabel("reconstruction L1 (validation, in [0, 1])")
    axes.set_ylabel("individual-code leakage")
    axes.set_ylim(0, 1)
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


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
