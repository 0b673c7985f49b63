"""A classifier is known again: in another folder, on another machine; and another one is noticed, whatever changed."""

import json
import shutil
import sys

import numpy as np
import pytest
from onnx_files import mean_model
from rich.console import Console

from cae_jax.classifiers import Identity, Reference, differences, load_foreign, read_identity
from cae_jax.classifiers.fingerprint import ask, classifier_files, external_data, fixed_images
from cae_jax.config import presets
from cae_jax.config.reading import ConfigError
from cae_jax.data import ArraySource, Dataset, make_augment
from cae_jax.progress import WorkProgress
from cae_jax.training import classifiers as own_classifiers
from cae_jax.training.classifiers import label_dataset, train_or_load
from cae_jax.workdir import classifier_store

SHAPE = (8, 8, 3)
KERNEL = np.asarray([[-4.0, 4.0]] * 3, np.float32)
SOURCE = """
import numpy as np
import helper

def classify(images):
    return helper.brightness(images) @ np.load("weights.npz")["kernel"]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder of somebody with a function that loads its weights when it is called."""
    monkeypatch.chdir(tmp_path)
    for name in ("fingerprinted", "helper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "fingerprinted.py").write_text(SOURCE)
    (tmp_path / "helper.py").write_text("def brightness(images):\n    return images.mean((1, 2)) - 0.5\n")
    np.savez(tmp_path / "weights.npz", kernel=KERNEL)
    return tmp_path


def load(kind="python"):
    return load_foreign(Reference("fingerprinted:classify", kind), SHAPE)


def write_onnx(folder, kernel, external=True):
    onnx = pytest.importorskip("onnx")
    model = mean_model(np.concatenate([kernel] * 3)[:8], (8, 8, 3))
    (folder / "model.onnx.data").unlink(missing_ok=True)
    options = {"save_as_external_data": True, "location": "model.onnx.data", "size_threshold": 0} if external else {}
    onnx.save_model(model, str(folder / "model.onnx"), **options)


def test_what_a_function_loads_is_part_of_it(folder):
    first = load()
    assert load().fingerprint == first.fingerprint
    np.savez(folder / "weights.npz", kernel=-KERNEL)
    second = load()
    assert second.fingerprint != first.fingerprint
    assert second.identity.files == first.identity.files
    found = differences(first.identity, second.identity)
    assert found[0] == "its answers to 8 fixed images are others (by up to 1)"
    assert "something that it loads" in found[1]


def test_modules_that_a_function_imports_from_its_folder_are_part_of_it_and_installed_ones_are_not(folder):
    first = load().identity
    assert first.files.keys() == {"fingerprinted.py", "helper.py"}
    (folder / "helper.py").write_text("def brightness(images):  # as before\n    return images.mean((1, 2)) - 0.5\n")
    assert differences(first, load().identity) == ["helper.py has other contents"]
    assert not classifier_files("json:dumps", "")
    assert not classifier_files("numpy.linalg:norm", "")


def test_a_package_of_modules_is_followed_through_relative_imports(folder, monkeypatch):
    (folder / "nets" / "parts").mkdir(parents=True)
    (folder / "nets" / "__init__.py").write_text("")
    (folder / "nets" / "parts" / "__init__.py").write_text("from . import late")
    (folder / "nets" / "parts" / "late.py").write_text("")
    (folder / "nets" / "unused.py").write_text("")
    (folder / "nets" / "model.py").write_text("def f(x):\n    from .parts import late\n    return x")
    monkeypatch.syspath_prepend(str(folder))
    __import__("nets.model")
    names = {"nets/model.py", "nets/__init__.py", "nets/parts/__init__.py", "nets/parts/late.py"}
    assert classifier_files("nets.model:f", "").keys() >= names - {"nets/__init__.py"}
    assert "nets/unused.py" not in classifier_files("nets.model:f", "")
    for name in [name for name in sys.modules if name.split(".")[0] == "nets"]:
        monkeypatch.delitem(sys.modules, name)


def test_tensors_beside_an_onnx_file_are_part_of_it(folder):
    pytest.importorskip("onnxruntime")
    write_onnx(folder, KERNEL)
    first = load_foreign(Reference("model.onnx"), SHAPE).identity
    assert first.files.keys() == {"model.onnx", "model.onnx.data"}
    contents = (folder / "model.onnx").read_bytes()
    (folder / "elsewhere").mkdir()
    for name in first.files:
        shutil.copy(folder / name, folder / "elsewhere" / name)
    assert load_foreign(Reference("elsewhere/model.onnx"), SHAPE).identity == first
    write_onnx(folder, -KERNEL)
    assert (folder / "model.onnx").read_bytes() == contents
    found = differences(first, load_foreign(Reference("model.onnx"), SHAPE).identity)
    assert found[0] == "model.onnx.data has other contents"
    write_onnx(folder, KERNEL, external=False)
    assert not external_data(folder / "model.onnx")
    (folder / "empty.onnx").write_bytes(b"")
    assert not external_data(folder / "empty.onnx")


def test_bytes_that_only_look_like_a_name_name_no_file(folder):
    for tail in (b"", b"\xff\xff\xff\xff\xff\xff", b"\x05../..", b"\x7fshort", b"\x04a\x00bc"):
        (folder / "odd.onnx").write_bytes(b"....\x0a\x08location\x12" + tail)
        assert external_data(folder / "odd.onnx") == []


def test_weights_in_a_folder_with_a_colon_are_files(folder):
    (folder / "run_12:30").mkdir()
    (folder / "run_12:30" / "w.pt").write_bytes(b"1")
    files = classifier_files("fingerprinted:classify", "run_12:30/w.pt")
    assert files["w.pt"].read_bytes() == b"1"
    (folder / "run_12:30" / "model.pt2").write_bytes(b"2")
    assert list(classifier_files("run_12:30/model.pt2", "")) == ["model.pt2"]


def test_answers_are_compared_as_far_as_machines_agree():
    same = Identity({"a": "1"}, {"head": "softmax"}, [[0.3, 0.7], [None], [1e-9, 1.0]])
    near = same._replace(answers=[[0.3004, 0.6996], [None], [0.0, 1.0]])
    assert differences(same, near) == []
    assert differences(same, same._replace(answers=[[0.3, 0.7], [None], [0.01, 0.99]]))
    assert differences(same, same._replace(answers=[[0.3, 0.7], [0.5, 0.5], [1e-9, 1.0]]))
    assert differences(same, same._replace(answers=[[0.3, 0.7], [None]]))
    assert "it gives none now" in differences(same, same._replace(answers=[[None]] * 3))[0]
    assert differences(same, same._replace(settings={"head": "logit"})) == ["head was softmax and is logit"]
    renamed = same._replace(files={"b": "1"})
    assert differences(same, renamed) == []
    assert renamed.fingerprint == same.fingerprint
    assert differences(same, same._replace(files={"a": "1", "b": "2"})) == ["b is new"]


def test_an_identity_survives_json_and_what_is_none_is_refused():
    identity = Identity({"a": "1"}, {"head": "softmax"}, [[0.25, None], [None]])
    assert read_identity(json.loads(json.dumps(identity._asdict(), allow_nan=False))) == identity
    for broken in ({}, [], {"files": 3, "settings": {}, "answers": []}, {"files": {}, "settings": {}, "answers": "x"}):
        with pytest.raises(ValueError, match="no classifier is described there"):
            read_identity(broken)


def test_the_fixed_images_are_images_of_the_shape_and_all_different():
    for shape in ((28, 28, 1), (5, 9, 3)):
        images = fixed_images(shape)
        assert images.shape == (8, *shape)
        assert images.min() == 0
        assert images.max() == 1
        assert len(np.unique(images.reshape(8, -1), axis=0)) == 8
        np.testing.assert_array_equal(images, fixed_images(shape))


def test_a_classifier_may_fail_on_an_image_and_warn_of_another():
    def odd(images):
        if (images == 0).all((1, 2, 3)).any():
            raise RuntimeError("there is nothing in this image")
        np.log(images * 0)
        images[:] = 0
        return np.stack([images.mean((1, 2, 3)), np.full(len(images), np.nan)], -1)

    answers = ask(odd, SHAPE)
    assert answers[0] == [None]
    assert answers[1:] == [[0.0, None]] * 7
    assert ask(lambda images: 1 / 0, SHAPE) == [[None]] * 8


def bright_data(fingerprint="first"):
    levels = np.asarray([20, 230] * 5, np.uint8).reshape(10, 1, 1, 1)
    source = ArraySource(np.broadcast_to(levels, (10, *SHAPE)).copy(), np.arange(10) % 2)
    return Dataset("./images", ("dark", "light"), source, source, source, fingerprint=fingerprint)


def settings(**changes):
    config = presets.black_box()
    config.classifier.update(path="fingerprinted:classify", kind="python", **changes)
    return config.classifier


def start(folder):
    own, augment = folder / "run" / "classifier", make_augment(0, 0.0, False)
    with WorkProgress(Console(quiet=True)) as progress:
        return train_or_load(own, settings(), bright_data(), 0, augment, progress)


def test_labels_are_asked_for_again_when_the_classifier_is_another(folder, monkeypatch):
    (folder / "run").mkdir()
    cache = folder / "run" / "answers.npz"
    ask_for = lambda: label_dataset(start(folder), bright_data(), cache)["train"].tolist()  # noqa: E731
    assert ask_for() == [0, 1] * 5
    np.savez(folder / "weights.npz", kernel=-KERNEL)  # nothing has been trained with the other one
    assert ask_for() == [1, 0] * 5
    monkeypatch.setattr(own_classifiers, "predicted_classes", lambda *_, **__: pytest.fail("the answers are known"))
    assert ask_for() == [1, 0] * 5


def test_labels_are_asked_for_again_when_the_data_are_others_or_the_file_is_damaged(folder, monkeypatch, caplog):
    (folder / "run").mkdir()
    cache, loaded = folder / "run" / "answers.npz", start(folder)
    first = label_dataset(loaded, bright_data(), cache)
    asked = []
    original = own_classifiers.predicted_classes
    monkeypatch.setattr(
        own_classifiers, "predicted_classes", lambda *rest, **how: (asked.append(1), original(*rest, **how))[1]
    )
    label_dataset(loaded, bright_data("second"), cache)
    assert len(asked) == 3
    for damage in (b"", b"PK\x03\x04", cache.read_bytes()[:200]):
        cache.write_bytes(damage)
        asked.clear()
        again = label_dataset(loaded, bright_data("second"), cache)
        assert len(asked) == 3
        assert again["train"].tolist() == first["train"].tolist()
        assert "is damaged" in caplog.text
        caplog.clear()


def test_kept_labels_are_not_taken_of_one_that_answers_otherwise_by_now(folder):
    (folder / "run").mkdir()
    cache, loaded = folder / "run" / "answers.npz", start(folder)
    label_dataset(loaded, bright_data(), cache)
    turned = loaded._replace(answer=lambda images: loaded.answer(images)[:, ::-1])  # alike in all that it is known by
    with pytest.raises(ConfigError, match=r"10 of 10 training images another class than .*answers\.npz has"):
        label_dataset(turned, bright_data(), cache)
    undecided = loaded._replace(answer=lambda images: np.tile([0.51, 0.49], (len(images), 1)))
    assert label_dataset(undecided, bright_data(), cache)["train"].tolist() == [0, 1] * 5


def test_a_run_does_not_go_on_with_another_classifier(folder):
    (folder / "run" / "checkpoints" / "00000002").mkdir(parents=True)
    first = start(folder)
    assert start(folder).identity == first.identity
    np.savez(folder / "weights.npz", kernel=-KERNEL)
    with pytest.raises(ConfigError, match=r"classifier fingerprinted:classify is not the one that .*fixed images"):
        start(folder)
    np.savez(folder / "weights.npz", kernel=KERNEL + 1e-4)  # as another machine would compute it
    assert start(folder).fingerprint == first.fingerprint
    with (folder / "fingerprinted.py").open("a") as file:
        file.write("# a word more\n")
    with pytest.raises(ConfigError, match=r"fingerprinted\.py has other contents.*are the same; if .*delete .*\.json"):
        start(folder)
    (folder / "run" / "classifier_identity.json").unlink()
    assert start(folder).identity.files != first.identity.files


def test_a_record_of_the_classifier_that_is_damaged_is_said_and_written_again(folder, caplog):
    (folder / "run").mkdir()
    first = start(folder)
    (folder / "run" / "classifier_identity.json").write_text("{")
    assert start(folder).identity == first.identity
    assert "nobody can tell whether the classifier is still the same" in caplog.text
    assert classifier_store.kept_identity(folder / "run", "classifier") == first.identity
