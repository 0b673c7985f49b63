"""Kills a short training run again and again, at random moments: is anything lost, and does anything stay behind?

    python -m benchmarks.soak --kills 200

Trains a small CAE once without a disturbance. Then trains it again while `kill -9` ends it after random times, each
restart going on from what is there, until it is finished; then again from the start, until there were as many kills as
asked for, and the last run is left to finish. Every finished run must equal the undisturbed one bit for bit in
parameters, optimizer and log, and hold the same files. Ends with code 1 and says what differs if one does not.
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

STEPS = 24
CHANGES = {
    "classifier.steps": 60,
    "oracle.steps": 4,
    "oracle.architecture": "small_cnn",
    "model.width": 4,
    "model.class_width": 4,
    "model.residual_blocks": 1,
    "model.mlp_width": 16,
    "model.class_head_width": 16,
    "discriminator.width": 4,
    "discriminator.hidden": 16,
    "train.steps": STEPS,
    "train.warmup_steps": 4,
    "train.batch_size": 4,
    "train.checkpoint_every": 2,
    "train.log_every": 1,
    "evaluation.swaps": 64,
}
OF_EACH_START = "tensorboard"  # every start writes another file of events there
ARRAYS = {"state", "ema", "params"}  # Orbax calls what is in these folders by other names every time


def train(workdir: pathlib.Path) -> subprocess.Popen:
    """Starts or continues the run."""
    changes = [f"--config.{key}={value}" for key, value in CHANGES.items()]
    command = [sys.executable, "train.py", "--config", "mnist_5k", "--workdir", str(workdir), *changes]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def contents(workdir: pathlib.Path) -> dict[str, np.ndarray | str]:
    """What must be alike: arrays of the last checkpoint, lines of the log, names of the files."""
    last = max((workdir / "checkpoints").iterdir())
    arrays = ocp.StandardCheckpointer().restore((last / "state").resolve())
    found: dict[str, np.ndarray | str] = {
        jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(arrays)
    }
    for line in map(json.loads, (workdir / "log.jsonl").read_text().splitlines()):
        found[f"log of step {line['step']}, {line['kind']}"] = json.dumps(line, sort_keys=True)
    for path in sorted(workdir.rglob("*")):
        name = path.relative_to(workdir)
        if path.is_file() and name.parts[0] != OF_EACH_START and not ARRAYS & set(name.parts):
            found[f"file {name}"] = ""
    return found


def differences(first: dict[str, np.ndarray | str], second: dict[str, np.ndarray | str]) -> list[str]:
    """Names of what is not alike."""
    absent = sorted(first.keys() ^ second.keys())
    return absent + [name for name in first.keys() & second.keys() if not np.array_equal(first[name], second[name])]


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="in all (200)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the moments (0)")
    options = parser.parse_args()
    rng, console = random.Random(options.seed), Console()
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(*Progress.get_default_columns(), MofNCompleteColumn()) as bar,
    ):
        whole, cut = pathlib.Path(folder) / "whole", pathlib.Path(folder) / "cut"
        task = bar.add_task("undisturbed", total=options.kills)
        for _ in range(2):
            began = time.monotonic()
            undisturbed = train(whole)
            text, _ = undisturbed.communicate()
            assert undisturbed.returncode == 0, text
        start_seconds = time.monotonic() - began  # of a start with nothing left to do
        expected, kills, runs = contents(whole), 0, 0
        bar.update(task, description="killing")
        while kills < options.kills or cut.exists():
            process = train(cut)
            try:
                until = rng.uniform(0.0, 2.0 * start_seconds) if kills < options.kills else None
                text, _ = process.communicate(timeout=until)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                bar.update(task, completed=kills)
                continue
            if process.returncode:
                console.print(text, markup=False)
                console.print(f"after {kills} kills the run does not go on", style="bold red")
                return 1
            if different := differences(expected, contents(cut)):
                console.print(
                    f"after {kills} kills these differ: {', '.join(different)}", style="bold red", markup=False
                )
                return 1
            runs += 1
            shutil.rmtree(cut)
    console.print(f"{kills} kills, {runs} runs finished, each equal to the undisturbed one, no file left behind")
    return 0


if __name__ == "__main__":
    sys.exit(main())
