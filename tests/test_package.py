"""Explainers that are given away: what is in the folder, that they explain alike, and that a changed one is refused."""

import json
import re
import shutil
import sys

import numpy as np
import pytest

from benchmarks.twins import write_onnx
from cae_jax import Explainer
from cae_jax.cli import package
from cae_jax.explaining import InputError
from cae_jax.training.checkpoints import CheckpointError

EASY = {"confidence": 0.11, "saliency": "reconstruction"}


@pytest.fixture(scope="module")
def packed(trained_explainer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages") / "digits"
    trained_explainer.save_package(folder)
    return folder


@pytest.fixture
def copied(packed, tmp_path):
    return shutil.copytree(packed, tmp_path / "copy")


def test_a_package_explains_as_its_run_does_without_the_data(copied, trained_explainer, digits):
    loaded = Explainer.load(copied)
    images = digits.test.take(np.arange(6))
    ours, theirs = (e.explain(images, "all", **EASY) for e in (trained_explainer, loaded))
    for name in ("status", "shift", "counterfactual", "saliency", "target"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    assert loaded._dataset is None
    assert loaded.fingerprint == trained_explainer.fingerprint


def test_a_package_has_no_pickle_and_says_what_it_is(packed):
    names = {path.name for path in packed.iterdir()}
    assert names == {
        *("README.md", "classifier.safetensors", "code_table.npz", "metrics.json", "model.safetensors"),
        *("package.json", "run.json"),
    }
    for path in packed.glob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays.files)
    card = (packed / "README.md").read_text()
    assert "**Classes**: 0, 1, 2, 3" in card
    assert "28×28, grey" in card
    metrics = json.loads((packed / "metrics.json").read_text())
    assert f"| `swap_flip_rate` | {metrics['swap_flip_rate']:.3f} |" in card


@pytest.mark.parametrize("name", ["model.safetensors", "classifier.safetensors", "run.json", "code_table.npz"])
def test_a_changed_byte_anywhere_is_refused(copied, name):
    contents = bytearray((copied / name).read_bytes())
    contents[len(contents) // 2] ^= 1
    (copied / name).write_bytes(bytes(contents))
    with pytest.raises((CheckpointError, ValueError), match=re.escape(name)):
        Explainer.load(copied)


def change(folder, **fields):
    manifest = json.loads((folder / "package.json").read_text())
    (folder / "package.json").write_text(json.dumps(manifest | fields))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "package.json").write_text("{"), "package.json is damaged"),
        (lambda f: change(f, version=9), "a package of version 9; this cae_jax reads version 1"),
        (lambda f: change(f, files={}), "lists no run.json"),
        (lambda f: change(f, files=json.loads((f / "package.json").read_text())["files"] | {"../x": ""}), "no file of"),
    ],
)
def test_a_package_that_is_not_whole_is_refused(copied, spoil, message):
    spoil(copied)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        Explainer.load(copied)


def test_a_folder_with_something_in_it_is_left_alone(trained_explainer, trained, copied):
    with pytest.raises(InputError, match="is not empty; name another folder"):
        trained_explainer.save_package(copied)
    anonymous = Explainer.load(trained[0], host_classifier=lambda images: images)
    with pytest.raises(InputError, match="cannot be packaged; name it in the config"):
        anonymous.save_package(copied.parent / "other")


def test_a_classifier_of_another_framework_is_named_and_checked(trained_explainer, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_onnx(tmp_path / "model.onnx", trained_explainer.classifier.params)
    shutil.copytree(trained[0], tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["config"]["classifier"] |= {"path": "model.onnx"}
    record["config"]["classifier"]["input"] |= {"range": [-1.0, 1.0], "layout": "NCHW"}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    explainer = Explainer.load(tmp_path / "run")
    explainer._table = trained_explainer.code_table
    explainer.save_package(tmp_path / "given")
    assert not (tmp_path / "given" / "classifier.safetensors").exists()
    assert "**Classifier**: model.onnx" in (tmp_path / "given" / "README.md").read_text()
    assert Explainer.load(tmp_path / "given").fingerprint == explainer.fingerprint
    shutil.move(tmp_path / "model.onnx", tmp_path / "given" / "model.onnx")
    assert Explainer.load(tmp_path / "given").fingerprint == explainer.fingerprint
    params = trained_explainer.classifier.params
    other = params | {"logits": params["logits"] | {"bias": np.asarray(params["logits"]["bias"]) + 1}}
    write_onnx(tmp_path / "given" / "model.onnx", other)
    with pytest.raises(CheckpointError, match=r"is not the one that .* was made for"):
        Explainer.load(tmp_path / "given")


def test_the_program_packs_a_run(trained, tmp_path, monkeypatch, capsys, small_data):
    monkeypatch.setattr(sys, "argv", ["package", "--workdir", str(trained[0]), "--out", str(tmp_path / "out")])
    assert not package.main()
    assert "model.safetensors" in capsys.readouterr().out
