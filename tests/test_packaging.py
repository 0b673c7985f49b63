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
    code = "from cae_jax.cli.train import main; import sys; sys.argv = ['', '--config', 'mnist_5k', '--list']; main()"
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "data.name = 'mnist_5k'" in done.stdout
    assert (
        "cae-train = cae_jax.cli.train:program" in next(tmp_path.glob("site/*.dist-info/entry_points.txt")).read_text()
    )
