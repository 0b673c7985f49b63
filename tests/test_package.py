"""Explainers that are given away: what is in the folder, that they explain alike, and that a changed one is refused."""

import json
import pathlib
import re
import shutil
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy

from benchmarks.twins import write_onnx
from cae_jax import Explainer
from cae_jax.cli import package
from cae_jax.config.reading import ConfigError
from cae_jax.errors import InputError
from cae_jax.explaining.package import model_card
from cae_jax.workdir.checkpoints import CheckpointError, file_digest

EASY = {"confidence": 0.11, "saliency": "reconstruction"}


@pytest.fixture(scope="module")
def packed(trained_explainer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages") / "digits"
    trained_explainer.save_package(folder)
    return folder


@pytest.fixture
def copied(packed, tmp_path):
    return shutil.copytree(packed, tmp_path / "copy")


def test_a_package_that_cannot_be_written_whole_is_none(packed, trained_explainer, tmp_path, monkeypatch):
    def full(path, **_):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("cae_jax.explaining.package.write_npz", full)
    with pytest.raises(InputError, match=r"the package cannot be written: .*No space left"):
        trained_explainer.save_package(tmp_path / "out")
    assert not (tmp_path / "out" / "package.json").exists()


def test_a_card_shows_names_that_are_no_text(trained_explainer):
    parts = trained_explainer._parts
    names = ("a\udcff", "b\nc", *parts.record.class_names[2:])
    card = model_card(parts._replace(record=parts.record._replace(class_names=names)), {})
    assert r"- **Classes**: a\udcff, b\nc, " in card


def test_a_package_explains_as_its_run_does_without_the_data(copied, trained_explainer, digits):
    loaded = Explainer.load(copied)
    images = digits.test.take(np.arange(6))
    ours, theirs = (e.explain(images, "all", **EASY) for e in (trained_explainer, loaded))
    for name in ("status", "shift", "counterfactual", "saliency", "target"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    assert loaded._dataset is None
    assert loaded.fingerprint == trained_explainer.fingerprint


def test_a_package_has_no_pickle_and_says_what_it_is(packed, trained_explainer):
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
    assert "**Not to be relied on**: collapsed (" in card
    assert Explainer.load(packed).verdict == trained_explainer.verdict != ""
    metrics = json.loads((packed / "metrics.json").read_text())
    assert f"| `swap_flip_rate` | {metrics['swap_flip_rate']:.3f} |" in card


def test_scores_of_another_checkpoint_are_not_packed(trained, tmp_path, caplog):
    workdir = shutil.copytree(trained[0], tmp_path / "run")
    scores = json.loads((workdir / "metrics.json").read_text())
    (workdir / "metrics.json").write_text(json.dumps(scores | {"best_step": 999}))
    Explainer.load(workdir).save_package(tmp_path / "packed")
    assert not (tmp_path / "packed" / "metrics.json").exists()
    assert "swap_flip_rate" not in (tmp_path / "packed" / "README.md").read_text()
    assert f"is of the checkpoint of step 999, not of that of step {scores['best_step']}, and left out" in caplog.text


def test_a_package_of_half_the_size_is_of_the_weights_that_it_stores(packed, trained_explainer, digits, tmp_path):
    trained_explainer.save_package(tmp_path / "half", half=True, note="Made in a hurry.")
    for name in ("model.safetensors", "classifier.safetensors"):
        stored = safetensors.numpy.load_file(tmp_path / "half" / name)
        assert {array.dtype for array in stored.values()} == {np.dtype(np.float16)}
        assert (tmp_path / "half" / name).stat().st_size < 0.6 * (packed / name).stat().st_size
    loaded = Explainer.load(tmp_path / "half")
    for ours, theirs in zip(*map(jax.tree.leaves, (trained_explainer.params, loaded.params)), strict=True):
        assert theirs.dtype == np.float32
        np.testing.assert_array_equal(theirs, np.asarray(ours).astype(np.float16).astype(np.float32))
    assert loaded.classifier.fingerprint != trained_explainer.classifier.fingerprint
    assert loaded.fingerprint.endswith(loaded.classifier.fingerprint[:16])
    assert loaded.fingerprint != trained_explainer.fingerprint
    remade = loaded.model.code_table(digits.train)
    np.testing.assert_array_equal(loaded.code_table.class_codes, remade.class_codes)
    np.testing.assert_array_equal(loaded.code_table.image_odds, remade.image_odds)
    images = digits.test.take(np.arange(6))
    np.testing.assert_allclose(loaded.predict(images), trained_explainer.predict(images), atol=1e-2)
    card = (tmp_path / "half" / "README.md").read_text()
    assert "**Weights**: rounded to half precision after" in card
    assert "## How it was made\n\nMade in a hurry.\n" in card
    assert "half precision" not in (packed / "README.md").read_text()


def test_packing_with_half_precision_leaves_the_run_as_it_was_and_once_is_as_good_as_twice(
    trained, trained_explainer, tmp_path
):
    kept = (trained[0] / "code_table.npz").read_bytes()
    trained_explainer.save_package(tmp_path / "once", half=True)
    assert (trained[0] / "code_table.npz").read_bytes() == kept
    Explainer.load(tmp_path / "once").save_package(tmp_path / "again")
    assert Explainer.load(tmp_path / "again").fingerprint == Explainer.load(tmp_path / "once").fingerprint
    for name in ("model.safetensors", "classifier.safetensors", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "once" / name).read_bytes()


def test_a_weight_that_half_precision_does_not_have_is_refused(trained_explainer, tmp_path, monkeypatch):
    params = jax.tree.map(np.asarray, trained_explainer.params)
    large = params | {"decoder": jax.tree.map(lambda a: a + 1e6, params["decoder"])}
    monkeypatch.setattr(trained_explainer, "_parts", trained_explainer._parts._replace(params=large))
    with pytest.raises(InputError, match=r"a weight is beyond 65,504"):
        trained_explainer.save_package(tmp_path / "half", half=True)
    assert not (tmp_path / "half").exists()


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


def replace(folder, name, contents):
    """A file of a package, and its line in the manifest, as somebody who made the package would write them."""
    (folder / name).write_bytes(contents)
    files = json.loads((folder / "package.json").read_text())["files"]
    change(folder, files=files | {name: file_digest(folder / name)})


def change_record(folder, **settings):
    """Keys of a package's config, dotted with '__', and of its record."""
    record = json.loads((folder / "run.json").read_text())
    for key, value in settings.items():
        *path, last = key.split("__")
        place = record
        for part in path:
            place = place[part]
        place[last] = value
    replace(folder, "run.json", json.dumps(record).encode())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "package.json").write_text("{"), "package.json is damaged"),
        (lambda f: change(f, version=9), "a package of version 9; this cae_jax reads versions 1 to 4"),
        (lambda f: change(f, version="2"), "a package of version 2; this cae_jax reads versions 1 to 4"),
        (lambda f: change(f, step="3"), "what it has as step is none"),
        (lambda f: change(f, classifier=[]), "what it has as classifier is none"),
        (
            lambda f: change(f, classifier={"facts": {"architecture": "x"}, "identity": {}}),
            "no classifier is described",
        ),
        (lambda f: (f / "package.json").write_text("[]"), "package.json is damaged"),
        (lambda f: (f / "listing.csv").write_text("path\n"), "has a listing.csv that was not packaged with it"),
        (lambda f: change(f, files={}), "lists no run.json"),
        (lambda f: change(f, files=json.loads((f / "package.json").read_text())["files"] | {"../x": ""}), "no file of"),
    ],
)
def test_a_package_that_is_not_whole_is_refused(copied, spoil, message):
    spoil(copied)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        Explainer.load(copied)


def array_file(folder, **arrays):
    with (folder / "code_table.npz").open("wb") as file:
        np.savez(file, **arrays)
    replace(folder, "code_table.npz", (folder / "code_table.npz").read_bytes())


def changed_table(folder, **changes):
    with np.load(folder / "code_table.npz") as arrays:
        array_file(folder, **({name: arrays[name] for name in arrays.files} | changes))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: change_record(f, config__model__width="4"), "model.width"),
        (lambda f: change_record(f, config__train__steps="many"), "train.steps"),
        (lambda f: change_record(f, config__model__width=10**9), "model.safetensors does not fit its run.json"),
        (lambda f: change_record(f, config__model__individual_norm="x"), "run.json is damaged: there is no such model"),
        (lambda f: change_record(f, class_names=list("ab")), "model.safetensors does not fit its run.json"),
        (
            lambda f: replace(f, "classifier.safetensors", b"\2\0\0\0\0\0\0\0{}"),
            "classifier.safetensors does not fit its",
        ),
        (lambda f: change_record(f, class_names=[1, 2]), "run.json is damaged: class_names is (1, 2)"),
        (lambda f: change_record(f, image_shape=["a", 28, 1]), "run.json is damaged: image_shape is ('a', 28, 1)"),
        (lambda f: change_record(f, data=None), "run.json is damaged: data is None"),
        (lambda f: replace(f, "model.safetensors", b"\xff" * 7 + b"\x7f{}"), "model.safetensors cannot be read"),
        (lambda f: replace(f, "model.safetensors", b"\2\0\0\0\0\0\0\0{}"), "model.safetensors does not fit its"),
        (lambda f: changed_table(f, fingerprint=np.asarray("x")), "code_table.npz is damaged"),
        (lambda f: changed_table(f, labels=np.zeros(3, int)), "code_table.npz is damaged"),
        (lambda f: changed_table(f, names=np.asarray([{}] * 400, object)), "code_table.npz is damaged"),
        (lambda f: array_file(f), "code_table.npz is damaged"),
    ],
)
def test_a_package_whose_files_do_not_go_together_is_refused(copied, spoil, message):
    spoil(copied)
    with pytest.raises((CheckpointError, ConfigError), match=re.escape(message)):
        Explainer.load(copied)


def test_an_earlier_package_is_read_and_says_what_typical_means_for_it(copied, digits, caplog):
    with np.load(copied / "code_table.npz") as arrays:
        kept = {name: arrays[name] for name in ("names", "class_codes", "labels", "predictions", "fingerprint", "data")}
        sure = 1.0 / (1.0 + np.exp(-arrays["odds"]))
    array_file(copied, **kept, confidences=sure)
    change(copied, version=2)
    loaded = Explainer.load(copied)
    assert "'typical' is how sure the classifier is of reconstructions" in caplog.text
    table = loaded.code_table
    np.testing.assert_array_equal(table.image_predictions, table.predictions)
    np.testing.assert_allclose(table.image_odds, np.log(sure / (1.0 - sure)), rtol=1e-3, atol=1e-3)
    typicality = loaded.explain(digits.test.take(np.arange(3)), "any").typicality
    assert ((typicality >= 0) & (typicality <= 1)).all()


EVIL = "raise SystemExit('code from a package has run')\n"


@pytest.mark.parametrize(
    "settings",
    [
        {"path": "evil:f", "kind": "python"},
        {"path": "evil:f", "kind": "jax"},
        {"path": "evil:f", "kind": "torch", "weights": "weights.pt", "unpickle_runs_code": True},
        {"path": "given/evil.py:f", "kind": "python"},
        {"path": "given/evil.onnx", "kind": "python"},
        {"path": "given/evil.onnx", "kind": "torch"},
        {"path": "given/evil.onnx", "kind": "auto", "weights": "weights.pt"},
        {"path": "given/model.pt2", "kind": "auto"},
        {"path": "given/classifier", "kind": "auto"},
        {"path": "", "kind": "auto"},
    ],
)
def test_a_package_runs_no_code_whatever_it_says(copied, tmp_path, monkeypatch, settings):
    copied.rename(tmp_path / "given")
    folder = pathlib.Path("given")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cae_jax.explaining.loading.load_named", lambda *_: pytest.fail("it was opened"))
    for place in (tmp_path, folder):
        (place / "evil.py").write_text(EVIL)
    for name in ("evil.onnx", "weights.pt", "model.pt2"):
        (folder / name).write_bytes(b"evil")
    (folder / "classifier.safetensors").unlink()
    change_record(folder, **{f"config__classifier__{key}": value for key, value in settings.items()})
    manifest = json.loads((folder / "package.json").read_text())
    manifest["files"].pop("classifier.safetensors")
    manifest["classifier"]["identity"] = {"files": {}, "settings": {}, "answers": [[0.5]]}
    change(folder, **manifest)
    with pytest.raises(CheckpointError, match=r"never a reason to run any.*host_classifier=\.\.\."):
        Explainer.load(folder)
    assert "evil" not in sys.modules


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
    (tmp_path / "run" / "classifier_identity.json").unlink()  # as if it had been trained for that one
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
    with pytest.raises(CheckpointError, match=r"is not the one that .* was made for: model\.onnx has other contents"):
        Explainer.load(tmp_path / "given")
    (tmp_path / "given" / "model.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"neither there nor in .*: put model\.onnx into"):
        Explainer.load(tmp_path / "given")
    handed_in_is_known_by_its_answers(tmp_path / "given", trained_explainer, explainer)


def handed_in_is_known_by_its_answers(folder, twin, packed):
    """The same function is the package's classifier and has its codes; another one is none."""
    same = Explainer.load(folder, host_classifier=lambda images: np.asarray(twin.classifier.answer(images)))
    assert same.fingerprint == packed.fingerprint
    np.testing.assert_array_equal(same.code_table.class_codes, twin.code_table.class_codes)
    other = Explainer.load(folder, host_classifier=lambda images: np.asarray(twin.classifier.answer(images))[:, ::-1])
    assert other.fingerprint not in (packed.fingerprint, twin.fingerprint)
    with pytest.raises(InputError, match="cannot be packaged"):
        other.save_package(folder.parent / "again")
    same.save_package(folder.parent / "again")
    assert "**Classifier**: model.onnx" in (folder.parent / "again" / "README.md").read_text()


def test_a_workdir_whose_classifier_has_changed_is_refused_and_another_one_may_be_handed_in(
    trained_explainer, trained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    params = trained_explainer.classifier.params
    write_onnx(tmp_path / "model.onnx", params)
    shutil.copytree(trained[0], tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["config"]["classifier"] |= {"path": "model.onnx"}
    record["config"]["classifier"]["input"] |= {"range": [-1.0, 1.0], "layout": "NCHW"}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=r"model\.onnx is new.*host_classifier"):  # it was trained for its own
        Explainer.load("run")
    kept = tmp_path / "run" / "classifier_identity.json"
    kept.unlink()
    explainer = Explainer.load("run")
    kept.write_text(json.dumps(explainer.classifier.identity._asdict()))
    assert Explainer.load("run").fingerprint == explainer.fingerprint
    write_onnx(tmp_path / "model.onnx", params | {"logits": params["hidden"] | params["logits"]})  # the same once more
    assert Explainer.load("run").fingerprint == explainer.fingerprint
    kernel = np.asarray(params["logits"]["kernel"])
    write_onnx(tmp_path / "model.onnx", params | {"logits": params["logits"] | {"kernel": -kernel}})
    with pytest.raises(CheckpointError, match=r"(?s)model\.onnx has other contents; its answers to 8 fixed images"):
        Explainer.load("run")
    assert Explainer.load("run", host_classifier=lambda images: np.full((len(images), 10), 0.1)).fingerprint


def test_two_functions_that_are_handed_in_are_told_apart(trained, trained_explainer):
    answer = lambda images: np.asarray(trained_explainer.classifier.answer(images))  # noqa: E731
    first, second, again = (
        Explainer.load(trained[0], host_classifier=function)
        for function in (answer, lambda images: answer(images)[:, ::-1], lambda images: answer(images))
    )
    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, second.fingerprint, trained_explainer.fingerprint}) == 3


def test_a_listing_goes_along(trained_explainer, trained, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    (run / "listing.csv").write_text("path,label,split\n")
    explainer = Explainer.load(run)
    explainer._table = trained_explainer.code_table
    explainer.save_package(tmp_path / "given")
    assert (tmp_path / "given" / "listing.csv").read_text() == "path,label,split\n"
    assert Explainer.load(tmp_path / "given").fingerprint == explainer.fingerprint


def test_the_program_packs_a_run(trained, tmp_path, capsys):
    assert not package.PROGRAM(["--workdir", str(trained[0]), "--out", str(tmp_path / "out")])
    assert "model.safetensors" in capsys.readouterr().out
    assert not package.PROGRAM(
        ["--workdir", str(trained[0]), "--out", str(tmp_path / "half"), "--half", "--note", "Made in a hurry."]
    )
    assert "Made in a hurry." in (tmp_path / "half" / "README.md").read_text()
    sizes = [(tmp_path / out / "model.safetensors").stat().st_size for out in ("out", "half")]
    assert sizes[1] < 0.6 * sizes[0]
