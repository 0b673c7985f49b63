"""How long after SIGTERM a training has ended, beside busy processes.

    python -m benchmarks.preemption                    # 15 minutes, most of them for classifier and oracle
    python -m benchmarks.preemption --workdir runs/cut # goes on with what an earlier call has left there

Starts `train.py`, waits until some steps are done, starts busy processes, lets some more steps go by, sends SIGTERM,
and times the way to the end of the process; the last checkpoint must be of the last step. The same at other moments:
while classifier or oracle train, where there are none yet, and while a checkpoint is validated, which compiles.
"""

import argparse
import contextlib
import functools
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
from rich.console import Console
from rich.table import Table

from cae_jax.training.unfinished import EVERY, FOLDER
from cae_jax.workdir.checkpoints import CheckpointStore

STEPS = 6  # before and beside the busy processes


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Some processes that do nothing but count."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def lines(workdir: pathlib.Path) -> int:
    """Lines of the log, one a step."""
    path = workdir / "log.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    """Waits; raises if the process ends before."""
    while not condition():
        if process.poll() is not None:
            raise RuntimeError(f"train.py has ended with code {process.returncode}")
        time.sleep(0.02)


def interrupt(process: subprocess.Popen) -> float:
    """Sends SIGTERM; the seconds until the process has ended, with code 0."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(600)
    assert code == 0, f"it ended with code {code}"
    return time.monotonic() - began


class Runs:
    """Starts of `train.py` on one workdir."""

    def __init__(self, config: str, workdir: pathlib.Path, count: int):
        self.config, self.workdir, self.count = config, workdir, count
        self.store = CheckpointStore(workdir / "checkpoints")

    def start(self, **changes: int) -> subprocess.Popen:
        """One that logs every step, of which none warm up; `changes` are of its `train` part."""
        keys = {"log_every": 1, "warmup_steps": 0} | changes
        command = [sys.executable, "train.py", "--config", self.config, "--workdir", str(self.workdir)]
        return subprocess.Popen(
            command + [f"--config.train.{key}={value}" for key, value in keys.items()], stdout=subprocess.DEVNULL
        )

    def while_preparing(self, name: str) -> tuple[str, float, float]:
        """While classifier or oracle train, once some of it is kept; busy from the start, else it is done before."""
        kept, done = CheckpointStore(self.workdir / FOLDER / name), self.workdir / name / "manifest.json"
        with busy(self.count):
            process = self.start()
            until(lambda: bool(kept.steps()) or done.exists(), process)
            time.sleep(EVERY / 6)
            seconds = interrupt(process)
        where = (
            f"step {kept.newest()}" if kept.steps() else f"done in less than the {EVERY:.0f} s after which it is kept"
        )
        return f"while the {name} trains, {where}", 0.0, seconds

    def while_stepping(self) -> tuple[str, float, float]:
        """In the middle of training."""
        before, process = lines(self.workdir), self.start()
        until(lambda: lines(self.workdir) >= before + STEPS, process)
        with busy(self.count):
            until(lambda: lines(self.workdir) >= before + 2 * STEPS, process)
            times = []
            for _ in range(STEPS):
                began, now = time.monotonic(), lines(self.workdir)
                until(lambda now=now: lines(self.workdir) > now, process)
                times.append(time.monotonic() - began)
            seconds = interrupt(process)
        logged = json.loads((self.workdir / "log.jsonl").read_text().splitlines()[-1])["step"]
        assert self.store.newest() == logged, f"saved {self.store.newest()}, but {logged} was done"
        return f"in step {logged}", float(np.median(times)), seconds

    def while_validating(self) -> tuple[str, float, float]:
        """At a checkpoint that is due, as soon as it is on disk."""
        newest = self.store.newest() or 0
        process = self.start(checkpoint_every=newest + STEPS)
        with busy(self.count):
            until(lambda: (self.store.folder / f"{newest + STEPS:08d}" / "manifest.json").exists(), process)
            time.sleep(1.0)
            seconds = interrupt(process)
        assert self.store.facts(newest + STEPS)["validated"] is False
        return f"while step {newest + STEPS} is validated", 0.0, seconds


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="mnist", help="a training config (mnist)")
    parser.add_argument("--workdir", type=pathlib.Path, help="kept, if it is named")
    parser.add_argument("--busy", type=int, default=4, metavar="N", help="processes beside it (4)")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="interruptions between steps (3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(options.config, options.workdir or pathlib.Path(folder) / "run", options.busy)
        table = Table("SIGTERM", "a step, s", "to the end, s", "beyond the step, s")
        preparing = [name for name in ("classifier", "oracle") if not (runs.workdir / name / "manifest.json").exists()]
        cases = [functools.partial(runs.while_preparing, name) for name in preparing]
        for case in (*cases, *[runs.while_stepping] * options.turns, runs.while_validating):
            moment, step, seconds = case()
            table.add_row(moment, f"{step:.2f}", f"{seconds:.2f}", f"{seconds - step:.2f}")
        Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
