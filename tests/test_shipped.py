"""The explainers that come with the package: found by name, small, whole, good enough to show what this is about."""

import json
import re
import shutil

import numpy as np
import pytest

import cae_jax
from cae_jax.cli import codes, explain, options, package
from cae_jax.config import ConfigError
from cae_jax.explaining import loading, results_folder, shipped_explainers
from cae_jax.explorer import make_atlas
from cae_jax.types import Ending
from cae_jax.workdir.checkpoints import CheckpointError

MOST_BYTES = 3_000_000
by_name = pytest.mark.parametrize("name", list(shipped_explainers()))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder, the current one; afterwards nothing has been written to the shipped explainers."""
    before = {path: path.stat().st_mtime_ns for path in loading.SHIPPED.rglob("*")}
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert {path: path.stat().st_mtime_ns for path in loading.SHIPPED.rglob("*")} == before


@pytest.fixture(scope="module")
def digits_explainer(small_data):
    """The shipped one; its data set is prepared at first use."""
    return cae_jax.Explainer.load("mnist")


def test_one_of_digits_comes_along_and_the_help_names_it():
    assert "mnist" in shipped_explainers()
    assert options.EXPLAINER.endswith("such as mnist")


@by_name
def test_it_is_small_and_says_what_it_is_and_how_it_was_made(name):
    folder = shipped_explainers()[name]
    assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_BYTES
    card = (folder / "README.md").read_text()
    made = re.search(r"By `(make shipped-\w+)`, which is `cae train --config (\w+)`", card)
    assert made is not None
    assert made[1] == f"make shipped-{name}"
    assert made[2] in cae_jax.config.shipped_configs()
    assert "Not to be relied on" not in card
    for file in ("README.md", "run.json", "metrics.json", "package.json"):
        assert not re.search(r"/(root|home|tmp|work|Users)/", (folder / file).read_text()), file
    scores = json.loads((folder / "metrics.json").read_text())
    assert scores["swap_flip_rate"] > 0.9
    assert scores["reconstruction_keep_rate"] > 0.9


@by_name
@pytest.mark.parametrize("file", ["model.safetensors", "classifier.safetensors", "code_table.npz", "run.json"])
def test_its_sums_are_verified(name, file, tmp_path):
    copy = shutil.copytree(shipped_explainers()[name], tmp_path / "copy")
    contents = bytearray((copy / file).read_bytes())
    contents[-1] ^= 1
    (copy / file).write_bytes(bytes(contents))
    with pytest.raises(CheckpointError, match=f"the contents of {re.escape(file)} are not those"):
        cae_jax.Explainer.load(copy)


def test_it_explains_digits_in_two_lines(digits_explainer, digits, elsewhere):
    images, labels = digits.test.take(np.arange(16)), digits.test.labels[:16]
    assert (digits_explainer.predict(images).argmax(-1) == labels).mean() > 0.8
    record = digits_explainer.explain(images)
    assert (record.status == Ending.FLIPPED).mean() > 0.8
    assert digits_explainer.verdict == ""
    assert not list(elsewhere.iterdir())


@by_name
def test_the_program_draws_a_page_in_the_current_folder(name, elsewhere, capsys):
    assert explain.PROGRAM(["--workdir", name, "--limit", "2"]) == 0
    out = elsewhere / "explained" / name / "test_first_2_to_any"
    assert f"open {out.relative_to(elsewhere) / 'index.html'}" in capsys.readouterr().out
    rows = json.loads((out / "explanations.json").read_text())["explanations"]
    assert [row["image"] for row in rows] == ["test_0", "test_1"]
    assert (out / "index.html").stat().st_size > 10_000
    assert [path.name for path in elsewhere.iterdir()] == ["explained"]  # no folder that would hide the name


def test_the_other_programs_take_the_name(digits_explainer, elsewhere):
    assert codes.PROGRAM(["--workdir", "mnist", "--split", "validation", "--out", "codes.csv"]) == 0
    assert len((elsewhere / "codes.csv").read_text().splitlines()) == 501
    assert len(make_atlas(digits_explainer, ("test",), 40).thumbnails) == 40
    assert package.PROGRAM(["--workdir", "mnist", "--out", "mine"]) == 0
    assert cae_jax.Explainer.load("mine").fingerprint == digits_explainer.fingerprint


def test_a_path_that_exists_wins_over_a_name(trained_explainer, elsewhere, caplog):
    for named in ("mnist", loading.SHIPPED / "mnist"):
        assert results_folder(named, "explained").parts == ("explained", "mnist")
    trained_explainer.save_package("mnist")
    assert cae_jax.Explainer.load("mnist").fingerprint == trained_explainer.fingerprint
    assert results_folder("mnist", "explained").parts == ("mnist", "explained")
    assert "comes along" not in caplog.text
    shutil.rmtree("mnist")
    (elsewhere / "mnist").mkdir()
    with pytest.raises(ConfigError, match="mnist holds no run"):
        cae_jax.Explainer.load("mnist")
    assert f"the explainer of that name that comes along is {loading.SHIPPED / 'mnist'}" in caplog.text


def test_an_unknown_name_lists_those_that_there_are(elsewhere):
    with pytest.raises(ConfigError, match=r"nist holds no run: there is no such folder.*comes along: mnist"):
        cae_jax.Explainer.load("nist")
    assert not list(elsewhere.iterdir())
