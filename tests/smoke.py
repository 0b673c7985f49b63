"""Does the package work as it is installed? The README's commands on the small run of all tests, in an empty folder.

    make smoke PYTHON=python3.13     # with the newest of everything that can be installed
    python tests/smoke.py            # with what the environment of this Python has

It needs nothing but the package. Trains a few steps, explains two images, draws the manifold, serves the explorer, and
ends at the first command that fails or leaves out what it should write.
"""

import contextlib
import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from small_run import SMALL, write_digits

import cae_jax

ROOT = Path(__file__).parents[1]
TRAIN = [f"--config.{key}={value}" for key, value in SMALL.items()]
EXPLAIN = ["--limit", "2", "--confidence", "0.11"]  # of a model that is hardly trained
PAGE = "explained/{}test_first_2_to_any/index.html"
# The README's commands on digits: what shortens each, and what it has to leave behind.
COMMANDS = {
    "cae explain --workdir mnist": (["--limit", "2"], PAGE.format("mnist/")),
    "cae manifold --workdir mnist": (["--limit", "60"], "manifold/mnist/index.html"),
    "cae explore --workdir mnist": (["--limit", "60"], None),
    "cae train --config mnist": (TRAIN, "runs/mnist/metrics.json"),
    "cae explain --workdir runs/mnist": (EXPLAIN, "runs/mnist/" + PAGE.format("")),
    "python train.py --config configs/mnist.py": (TRAIN, "runs/mnist/metrics.json"),
}


def check_readme() -> None:
    """Compares `COMMANDS` with the commands on digits in the README, on lines of their own or within a sentence."""
    text = (ROOT / "README.md").read_text()
    lines = re.findall(r"^    ((?:python|cae) [^#\n]*mnist[^#\n]*)", text, re.MULTILINE)
    if unknown := {line.strip() for line in lines} - COMMANDS.keys():
        raise SystemExit(f"the README has commands that {__file__} does not: {', '.join(unknown)}")
    if gone := [command for command in COMMANDS if command not in text]:
        raise SystemExit(f"the README has no longer: {', '.join(gone)}")


def serves_a_page(command: Sequence[str], folder: Path) -> None:
    """Starts a command that prints an address and serves until it is interrupted; reads the page there."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = ""
            for line in process.stdout or ():
                said += line
                if found := re.search(r"http://\S+", line):
                    with urllib.request.urlopen(found[0], timeout=60) as page:
                        if b"bokeh" not in page.read():
                            raise SystemExit(f"{found[0]} has no plot")
                    return
            raise SystemExit(f"{shlex.join(command)} named no address:\n{said}")
        finally:
            process.terminate()


def main() -> None:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("jax", "flax", "optax", "numpy", "bokeh")]
    print(f"Python {platform.python_version()}, {', '.join(versions)}; cae_jax of {Path(cae_jax.__file__).parent}")
    programs = {"python": sys.executable, "cae": str(Path(sysconfig.get_path("scripts")) / "cae")}
    os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # less to compile, as in all tests
    check_readme()
    write_digits()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for script in ("train.py", "explain.py"):
            shutil.copy(ROOT / script, folder)
        shutil.copytree(ROOT / "configs", folder / "configs")
        for line, (added, file) in COMMANDS.items():
            start, words = time.perf_counter(), line.split()
            command = [programs[words[0]], *words[1:], *added]
            if file is None:
                serves_a_page(command, folder)
            else:
                done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if done.returncode or not (folder / file).exists():
                    raise SystemExit(f"{line} ended with {done.returncode}, {file}:\n{done.stdout}")
            print(f"{time.perf_counter() - start:6.1f} s  {line}", flush=True)


if __name__ == "__main__":
    main()
