"""Leakage against reconstruction: trains settings with codes of a fixed size and scores them on the validation split.

    python benchmarks/frontier.py --workdir runs/frontier --plot docs/images/frontier.png

Every setting is a run of `configs/mnist_5k.py` that shares one classifier and one oracle. Run again, it goes on.
"""

import argparse
import csv
import pathlib
import sys

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich.console import Console

from cae_jax.cli import console as program
from cae_jax.config.reading import apply_overrides, find_config, load_config
from cae_jax.training import loop
from cae_jax.training.run import prepare

FIXED_SIZE = {  # what the default preset was before its codes were whole numbers
    "model.individual_code_rounded": "False",
    "model.individual_answers": "False",
    "loss.individual_code": "1",
    "loss.bits": "0",
    "optimizer.generator_rate": "3e-3",
    "train.warmup_steps": "0",
}
SETTINGS = {
    f"{channels} channels, weight {weight}": FIXED_SIZE
    | {
        "model.individual_code_channels": str(channels),
        "loss.leakage": str(weight),
    }
    for channels, weight in ((8, 0), (8, 4), (8, 10), (8, 20), (4, 10), (16, 10))
}
PROBES = {"linear": "o", "mlp": "D", "convolutional": "s", "svm": "^"}  # with their markers
COLUMNS = (
    "swap_flip_rate",
    "swap_oracle_rate",
    "swap_svm_rate",
    "reconstruction_keep_rate",
    "reconstruction_l1",
    "class_code_knn_accuracy",
    *(f"individual_code_leakage_{probe}" for probe in PROBES),
)
PANELS = {  # what is drawn over reconstruction L1, each score with its marker
    "leakage": {f"individual_code_leakage_{probe}": marker for probe, marker in PROBES.items()},
    "rate": {"swap_flip_rate": "o", "swap_oracle_rate": "s", "swap_svm_rate": "D", "reconstruction_keep_rate": "^"},
}


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
    """Draws leakage over reconstruction L1, and the rates that pay for it: a colour a setting, a marker a score."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, (what, markers) in zip(figure.subplots(1, 2, sharex=True), PANELS.items(), strict=True):
        for score, marker in markers.items():
            axes.plot([], [], marker, color="grey", label=score.replace("_", " "))
            for i, row in enumerate(rows):
                axes.plot(row["reconstruction_l1"], row[score], marker, color=f"C{i}")
        axes.set(xlabel="reconstruction L1 (validation, in [0, 1])", ylabel=what)
        axes.legend(fontsize=8)
    settings = [Patch(color=f"C{i}", label=str(row["setting"])) for i, row in enumerate(rows)]
    figure.legend(handles=settings, loc="outside right center", fontsize=8)
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
