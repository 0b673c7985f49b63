"""The built wheel works without the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]


def test_an_installed_package_finds_the_shipped_configs_by_name(tmp_path):
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": ""}
    entry = next(tmp_path.glob("site/*.dist-info/entry_points.txt")).read_text()
    assert "[console_scripts]\ncae = cae_jax.cli.main:main" in entry
    for start in (["-c", "from cae_jax.cli.main import main; main()"], ["-m", "cae_jax"]):
        command = [sys.executable, *start, "train", "--config", "mnist_5k", "--list"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert "data.name = 'mnist_5k'" in done.stdout
