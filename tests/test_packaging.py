"""The built wheel works without the checkout."""

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that the wheel is installed into, beside nothing of the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder / "dist"), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_an_installed_package_finds_the_shipped_configs_by_name(site, tmp_path):
    environment = {"PYTHONPATH": str(site), "PATH": ""}
    entry = next(site.glob("*.dist-info/entry_points.txt")).read_text()
    assert "[console_scripts]\ncae = cae_jax.cli.main:main" in entry
    for start in (["-c", "from cae_jax.cli.main import main; main()"], ["-m", "cae_jax"]):
        command = [sys.executable, *start, "train", "--config", "mnist_5k", "--list"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert "data.name = 'mnist_5k'" in done.stdout


def test_an_installed_package_explains_digits_at_once(site, tmp_path, record_property):
    environment = {"PYTHONPATH": str(site), "PATH": "", "HOME": str(tmp_path / "home")}  # no data, nothing compiled yet
    command = [sys.executable, "-m", "cae_jax", "explain", "--workdir", "mnist"]
    (tmp_path / "here").mkdir()
    start, before = time.monotonic(), os.times()
    done = subprocess.run(command, cwd=tmp_path / "here", env=environment, capture_output=True, text=True, check=True)
    after = os.times()
    took = {
        "seconds": time.monotonic() - start,
        "cpu_seconds": after.children_user + after.children_system - before.children_user - before.children_system,
    }
    for name, value in took.items():  # reported, not asserted: machines differ
        record_property(name, round(value, 1))
    print(f"the first explanation of an installed package: {took}")
    assert "open explained/mnist/test_to_any/index.html" in done.stdout
    assert "endings: FLIPPED" in done.stdout
    assert (tmp_path / "here" / "explained" / "mnist" / "test_to_any" / "index.html").stat().st_size > 10_000
