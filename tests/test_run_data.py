"""A run and its data: the listing in the workdir, files that come and go, splits that say too little."""

import csv
import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from small_run import SMALL

from cae_jax.config.presets import black_box
from cae_jax.config.reading import ConfigError, apply_overrides
from cae_jax.data import LISTING, DataChanged
from cae_jax.errors import OneClass
from cae_jax.training.run import prepare

CLASSIFIER = """
import numpy as np
def brightness(x):
    score = 40 * (x.mean((1, 2, 3)) - 0.5)
    return np.stack([-score, score], -1)
"""


def draw(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name) * 1000 + level + sum(path.name.encode())).integers(0, 40, (16, 16))
    Image.fromarray((noise + level).astype(np.uint8)).save(path)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A function that prepares a run on 20 images with a black box, as `train.py` does."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boxes.py").write_text(CLASSIFIER)
    for name, level in (("dark", 30), ("light", 190)):
        for number in range(10):
            draw(tmp_path / "images" / name / f"{number}.png", level)

    def start(workdir="run", **changes):
        named = {f"{part}.{key}": text for part in ("classifier", "oracle") for key, text in BOX.items()}
        config = apply_overrides(black_box(), SMALL | named | {"data.name": "./images"} | changes)
        return prepare(config, tmp_path / workdir, Console(file=io.StringIO(), width=200))

    return start


BOX = {"path": "boxes:brightness", "kind": "python"}


def test_a_run_keeps_its_listing_and_new_files_are_left_out(start, tmp_path):
    first = start()
    with (tmp_path / "run" / LISTING).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == first.dataset.listing.names()
    assert [row["split"] for row in rows].count("test") == 4
    assert {row["label"] for row in rows} == {"dark", "light"}
    for number in range(5):
        draw(tmp_path / "images" / "dark" / f"a{number}.png", 30)
    again = start()
    for split in ("train", "validation", "test"):
        rows = np.arange(len(first.dataset.split(split)))
        np.testing.assert_array_equal(again.dataset.split(split).take(rows), first.dataset.split(split).take(rows))
        assert len(again.dataset.split(split)) == len(rows)


def test_a_run_whose_file_is_gone_does_not_go_on(start, tmp_path):
    start()
    (tmp_path / "images" / "dark" / "3.png").unlink()
    with pytest.raises(DataChanged, match=r"gone or not to be read: 1 \(dark/3\.png\)"):
        start()


def test_a_validation_split_that_is_too_small_is_to_blame_and_not_the_classifier(start, tmp_path):
    listing = start("first").dataset.listing
    splits = zip(listing.names(), listing.splits, strict=True)
    (hard,) = [name for name, split in splits if split == "validation" and name.startswith("light")]
    draw(tmp_path / "images" / hard, 30)
    with pytest.raises(
        OneClass, match=r"all 2 validation images of \./images the class dark, .*\(it is 1\.000 accurate"
    ):
        start("second")


def test_a_folder_with_checkpoints_of_another_program_is_no_workdir(start, tmp_path):
    theirs = tmp_path / "run" / "checkpoints" / "1000" / "weights"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("of another program")
    with pytest.raises(ConfigError, match=r"checkpoints is of no run of ours \(run\.json is missing\)"):
        start()
    assert theirs.read_text() == "of another program"


def test_a_run_does_not_go_on_with_other_classes(start, tmp_path):
    start()
    for folder in ("light", "dark"):
        (tmp_path / "images" / folder).rename(tmp_path / "images" / f"very {folder}")
    (tmp_path / "run" / LISTING).unlink()
    with pytest.raises(
        ConfigError, match=r"the classes dark, light, but \./images has .* and very dark, very light now"
    ):
        start()
