"""A run and its data: the listing in the workdir, files that come and go, splits that say too little."""

import csv
import io
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from small_run import DIGITS, SMALL, small_config

from cae_jax import Explainer
from cae_jax.config.presets import black_box
from cae_jax.config.reading import ConfigError, apply_overrides
from cae_jax.data import LISTING, DataChanged
from cae_jax.errors import OneClass
from cae_jax.training.run import prepare
from cae_jax.workdir.classifier_store import load_oracle
from cae_jax.workdir.record import PLANNED, read_record, write_record

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


def test_a_start_that_trained_nothing_stands_in_nobodys_way(start, tmp_path):
    with pytest.raises(ConfigError, match="misspelt"):
        start(**{"classifier.path": "misspelt:brightness"})
    assert read_record(tmp_path / "run").config.classifier.path == "misspelt:brightness"
    shutil.copytree(tmp_path / "images", tmp_path / "others")
    start(**{"data.name": "./others"})
    record = read_record(tmp_path / "run")
    assert (record.data, record.config.classifier.path) == ("./others", "boxes:brightness")
    (tmp_path / "run" / "oracle").mkdir()
    (tmp_path / "run" / "oracle" / "manifest.json").touch()  # as if that had been trained
    with pytest.raises(ConfigError, match=r"another config.*\n  data\.name: '\./others' there, '\./images' here"):
        start()


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


@pytest.mark.parametrize("name", ["classifier", "oracle", "student", "unfinished"])
def test_what_was_trained_on_nobody_knows_what_is_not_used(start, tmp_path, name):
    theirs = tmp_path / "run" / name / "manifest.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}")
    with pytest.raises(ConfigError, match=rf"{name} is of no run of ours \(run\.json is missing\)"):
        start()


@pytest.mark.parametrize("change", ["images", "labels", "order"])
def test_a_run_whose_arrays_are_others_does_not_go_on(start, tmp_path, change):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    arrays = {"train_images": rng.integers(0, 60, (60, 16, 16), np.uint8), "train_labels": labels}
    arrays["train_images"][labels == 1] += 190
    np.savez(tmp_path / "images.npz", **arrays)
    named = {"data.name": "./images.npz"}
    start(**named)
    start(**named)
    if change == "order":
        arrays = {name: values[::-1] for name, values in arrays.items()}
    else:
        arrays[f"train_{change}"] = arrays[f"train_{change}"].copy()
        arrays[f"train_{change}"][0] ^= 1
    np.savez(tmp_path / "images.npz", **arrays)
    with pytest.raises(ConfigError, match=r"run on images\.npz, whose images, labels or splits have changed since"):
        start(**named)
    record = read_record(tmp_path / "run")
    write_record(tmp_path / "run", record._replace(fingerprint=""))  # as an earlier version wrote it
    start(**named)


def test_a_run_s_classifier_keeps_the_order_of_its_classes(trained, tmp_path):
    named = {f"{name}.path": str(trained[0]) for name in ("classifier", "oracle")}
    config = small_config(**named, **{"data.classes": "1,0,2,3,4,5,6,7,8,9"})
    with pytest.raises(ConfigError, match=r"in the order 0, 1, 2.* in the order 1, 0, 2.*data\.classes = "):
        prepare(config, tmp_path, Console(quiet=True))


def test_an_oracle_is_as_good_as_it_is_on_the_run_s_own_images(trained, tmp_path):
    with np.load(DIGITS) as digits:
        turned = {name: values[:, ::-1] if name.endswith("images") else values for name, values in digits.items()}
    np.savez(tmp_path / "turned.npz", **turned)
    named = {f"{name}.path": str(trained[0]) for name in ("classifier", "oracle")}
    run = prepare(
        small_config(**named, **{"data.name": str(tmp_path / "turned.npz")}), tmp_path / "run", Console(quiet=True)
    )
    oracle = load_oracle(trained[0])
    answers = np.asarray(oracle.answer(turned["test_images"])).argmax(-1)
    assert run.accuracy["oracle"] == pytest.approx(np.mean(answers == turned["test_labels"]))
    assert run.accuracy["oracle"] != oracle.facts["accuracy"]


def test_a_run_whose_arrays_have_changed_is_explained_with_a_word_about_it(trained, tmp_path, caplog):
    workdir = shutil.copytree(trained[0], tmp_path / "run")
    assert len(Explainer.load(workdir).dataset.test) == 60
    assert "has changed since" not in caplog.text
    write_record(workdir, read_record(workdir)._replace(fingerprint="of others"))
    assert len(Explainer.load(workdir).dataset.test) == 60
    assert f"{DIGITS} has changed since this run was trained on it" in caplog.text


@pytest.fixture
def planned(start, tmp_path):
    """A run of five minutes for which six steps were planned as forty, and a function that starts it again."""
    minutes = {"train.minutes": "5"}
    asked = start(**minutes).config
    config = asked.copy_and_resolve_references()
    config.train.update(steps=40, warmup_steps=0, checkpoint_every=20)
    record = read_record(tmp_path / "run")
    asked = {key: asked.train[key] for key in PLANNED}
    write_record(tmp_path / "run", record._replace(config=config, planned=True, asked=asked))
    return lambda **changes: start(**minutes | changes).config.train


def test_a_plan_holds_for_what_it_was_made_for(planned, tmp_path):
    assert (planned().steps, planned().checkpoint_every) == (40, 20)
    assert planned(**{"train.log_every": "3"}).steps == 40
    assert read_record(tmp_path / "run").planned


@pytest.mark.parametrize("change", [{"model.width": "8"}, {"train.steps": "12"}, {"train.minutes": "6"}])
def test_before_a_checkpoint_whatever_takes_other_time_is_planned_again(planned, tmp_path, change):
    train = planned(**change)
    assert (train.steps, train.checkpoint_every) == (int(change.get("train.steps", 6)), 2)
    assert not read_record(tmp_path / "run").planned


def test_after_a_checkpoint_a_spacing_that_is_asked_for_is_taken_and_other_steps_are_refused(planned, tmp_path):
    kept = tmp_path / "run" / "checkpoints" / "00000020" / "weights"
    kept.parent.mkdir(parents=True)
    kept.write_text("some")
    train = planned(**{"train.checkpoint_every": "5"})
    assert (train.steps, train.checkpoint_every) == (40, 5)
    with pytest.raises(ConfigError, match=r"settings:\n  train\.steps: 40 there, 12 here$"):
        planned(**{"train.steps": "12"})


def test_a_run_does_not_go_on_with_other_classes(start, tmp_path):
    start()
    for folder in ("light", "dark"):
        (tmp_path / "images" / folder).rename(tmp_path / "images" / f"very {folder}")
    (tmp_path / "run" / LISTING).unlink()
    with pytest.raises(
        ConfigError, match=r"the classes dark, light, but \./images has .* and very dark, very light now"
    ):
        start()
