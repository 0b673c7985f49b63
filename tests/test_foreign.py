"""Classifiers of other frameworks: the same answers, the same explanations, and what is wrong with some."""

import contextlib
import json
import re
import shutil
import sys

import numpy as np
import pytest
from rich.console import Console
from small_run import small_config, use_digits

from benchmarks.twins import torch_state, write_module, write_onnx
from cae_jax.classifiers import Preparation, Reference, load_foreign
from cae_jax.explaining import Explainer
from cae_jax.training import loop
from cae_jax.training.classifier_store import load_classifier
from cae_jax.training.config import ConfigError
from cae_jax.training.errors import OneClass

EASY = {"confidence": 0.11, "residual": True, "saliency": "reconstruction"}
NCHW = Preparation(range=(-1.0, 1.0), layout="NCHW")
NHWC = Preparation(range=(-1.0, 1.0))


@pytest.fixture(scope="module")
def own(trained):
    """The classifier that the others are twins of."""
    return load_classifier(trained[0] / "classifier")


@pytest.fixture
def folder(tmp_path, monkeypatch, own):
    """The current folder of somebody with a model of their own."""
    write_module(tmp_path, own.params)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_model", raising=False)
    return tmp_path


def torch_file(folder, params, batch=None):
    """A file of `torch.export`, for batches of any size or of one."""
    torch = pytest.importorskip("torch")
    from own_model import for_torch  # pyright: ignore[reportMissingImports]

    module = for_torch()
    module.load_state_dict(torch_state(params))
    shapes = None if batch else {"x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(module.eval(), (torch.zeros(batch or 2, 1, 28, 28),), dynamic_shapes=shapes)
    torch.export.save(program, str(folder / "model.pt2"))


def make_reference(kind, folder, params):
    """Writes what a kind needs and says where it is."""
    if kind == "jax":
        return Reference("own_model:for_jax", "jax", preparation=NHWC)
    if kind == "python":
        return Reference("own_model:for_python", "python", preparation=NHWC)
    if kind.startswith("onnx"):
        write_onnx(folder / "model.onnx", params, batch=7 if kind == "onnx of 7" else "batch")
        return Reference("model.onnx", preparation=NCHW)
    torch = pytest.importorskip("torch")
    if kind == "torch built":
        torch.save(torch_state(params), folder / "weights.pt")
        return Reference("own_model:for_torch", "torch", weights="weights.pt", preparation=NCHW)
    sys.path.insert(0, str(folder))
    try:
        torch_file(folder, params, 7 if kind == "torch of 7" else None)
    finally:
        sys.path.remove(str(folder))
    return Reference("model.pt2", preparation=NCHW)


KINDS = ["jax", "python", "onnx", "onnx of 7", "torch", "torch of 7", "torch built"]


@pytest.mark.parametrize("kind", KINDS)
def test_twins_give_the_same_answers(kind, folder, own, digits):
    images = digits.test.take(np.arange(17)).astype(np.float32) / 255
    foreign = load_foreign(make_reference(kind, folder, own.params))
    assert foreign.traceable == (kind == "jax")
    np.testing.assert_allclose(foreign.predict(images), own.answer(images), atol=1e-5)
    assert len(foreign.fingerprint) == 64


def as_config(reference):
    given = reference.preparation
    return {
        "path": reference.path,
        "kind": reference.kind,
        "weights": reference.weights,
        "input": {"range": list(given.range), "layout": given.layout},
    }


@pytest.mark.parametrize("kind", ["jax", "python", "onnx", "torch"])
def test_twins_give_the_same_explanations(kind, folder, own, trained, trained_explainer, digits):
    workdir = folder / "run"
    shutil.copytree(trained[0], workdir)
    record = json.loads((workdir / "run.json").read_text())
    settings = as_config(make_reference(kind, folder, own.params))
    record["config"]["classifier"]["input"] |= settings.pop("input")
    record["config"]["classifier"] |= settings
    (workdir / "run.json").write_text(json.dumps(record))
    (workdir / "classifier_identity.json").unlink()  # as if the run had been trained for the twin
    other = Explainer.load(workdir)
    other._dataset = digits
    images = digits.test.take(np.unique(digits.test.labels, return_index=True)[1])  # one of each class
    ours, theirs = (e.explain(images, "all", **EASY) for e in (trained_explainer, other))
    np.testing.assert_array_equal(ours.status, theirs.status)
    np.testing.assert_allclose(ours.shift, theirs.shift, atol=1e-3)
    np.testing.assert_allclose(ours.flip_shift, theirs.flip_shift, atol=1e-3)
    assert len(set(ours.status.tolist())) > 1
    assert (workdir / "code_table.npz").exists()


def black_box_config(reference, **changes):
    config = small_config(**{"loss.consistency": "0", "loss.fidelity": "0", "train.steps": "2"} | changes)
    settings = as_config(reference)
    config.classifier.input.layout = settings["input"]["layout"]
    config.classifier.input.range = tuple(settings["input"]["range"])
    config.classifier.update(path=reference.path, kind=reference.kind, weights=reference.weights)
    return config


def test_a_run_with_an_onnx_classifier_labels_the_data_once_and_is_explained(folder, own, digits, monkeypatch):
    use_digits(monkeypatch, digits)
    config = black_box_config(make_reference("onnx", folder, own.params))
    console = Console(record=True, width=200)
    result = loop.train(config, folder / "run", console)
    labels = own.answer(digits.test.take(np.arange(len(digits.test)))).argmax(-1)
    assert result["classifier_accuracy"] == pytest.approx(float((labels == digits.test.labels).mean()))
    with np.load(folder / "run" / "classifier_answers.npz") as kept:
        np.testing.assert_array_equal(kept["test"], labels)
    found = Explainer.load(folder / "run").explain(digits.test.take(np.arange(4)), "any", **EASY)
    np.testing.assert_array_equal(found.prediction, labels[:4])
    asked = []
    monkeypatch.setattr("cae_jax.training.classifier_store.predicted_classes", lambda *args: asked.append(args))
    again = loop.prepare(config, folder / "run", Console(quiet=True))
    np.testing.assert_array_equal(again.predictions["test"], labels)
    assert not asked


def test_a_classifier_that_is_asked_wrongly_is_warned_of(folder, own, digits, monkeypatch):
    use_digits(monkeypatch, digits)
    config = black_box_config(make_reference("onnx", folder, own.params))
    config.classifier.input.range = (0.0, 255.0)
    config.classifier.input.mean = (9000.0,)
    console = Console(record=True, width=500)
    with contextlib.suppress(OneClass):  # it may say the same of all
        loop.prepare(config, folder / "run", console)
    assert "no better than whoever always says the most frequent class" in console.export_text()


def test_losses_that_ask_a_black_box_are_refused(folder, own, digits, monkeypatch):
    use_digits(monkeypatch, digits)
    config = black_box_config(make_reference("onnx", folder, own.params), **{"loss.fidelity": "1"})
    with pytest.raises(ConfigError, match="need a differentiable classifier; set them to 0"):
        loop.prepare(config, folder / "run", Console(quiet=True))


def write(folder, name, contents=b"not a model"):
    (folder / name).write_bytes(contents)
    return name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: Reference("absent.onnx"), "absent.onnx does not exist"),
        (lambda f: Reference(write(f, "broken.onnx")), "broken.onnx is no ONNX model"),
        (lambda f: Reference(write(f, "model.h5")), "neither a folder of ours nor a file ending in .pt2 or .onnx"),
        (lambda f: Reference("own_model:for_jax"), "say with kind = 'jax', 'python' or 'torch' what it is"),
        (lambda f: Reference("no_such_module:f", "jax"), "there is no module 'no_such_module'"),
        (lambda f: Reference("own_model:f", "jax"), "own_model has no function 'f'"),
        (lambda f: Reference("own_model:WEIGHTS", "jax"), "own_model has no function 'WEIGHTS'"),
        (lambda f: Reference("own_model:for_jax", "keras"), "kind must be one of auto, jax, python, torch, onnx"),
        (lambda f: Reference("own_model:for_jax", "jax", head="tanh"), "head must be one of"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(folder, make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_foreign(make(folder))


def test_onnx_models_of_other_inputs_are_named(folder, own):
    reference = make_reference("onnx", folder, own.params)
    with pytest.raises(ValueError, match=r"model\.onnx takes \['batch', 1, 28, 28\], but was given \(2, 28, 28, 1\)"):
        load_foreign(Reference(reference.path)).predict(np.zeros((2, 28, 28, 1), np.float32))
    with pytest.raises(ValueError, match="onnxruntime has no device 'tpu' here"):
        load_foreign(Reference(reference.path, device="tpu"))


def test_a_missing_framework_is_named_with_what_installs_it(folder, own, monkeypatch):
    for name, kind in (("onnxruntime", "onnx"), ("torch", "torch")):
        monkeypatch.setitem(sys.modules, name, None)
        reference = Reference(write_onnx(folder / "model.onnx", own.params).name, kind)
        with pytest.raises(ValueError, match=re.escape(f"pip install 'cae_jax[{kind}]'")):
            load_foreign(reference)


def test_a_classifier_of_other_classes_is_refused(folder, own, digits, monkeypatch):
    use_digits(monkeypatch, digits)
    config = black_box_config(make_reference("onnx", folder, own.params))
    config.classifier.head = "sigmoid"
    with pytest.raises(ConfigError, match=r"returned \(1, 2\) for 1 images; the run has 10 classes"):
        loop.prepare(config, folder / "run", Console(quiet=True))


def test_what_jax_cannot_trace_is_told_apart(folder, own, digits, monkeypatch):
    use_digits(monkeypatch, digits)
    config = black_box_config(Reference("own_model:for_python", "jax", preparation=NHWC))
    with pytest.raises((ConfigError, AssertionError)) as raised:
        loop.prepare(config, folder / "run", Console(quiet=True))
    assert raised.type is AssertionError or "say kind = 'python'" in str(raised.value)


def test_pickles_of_pytorch_are_not_run_unless_that_is_asked_for(folder, own):
    torch = pytest.importorskip("torch")
    sys.path.insert(0, str(folder))
    from own_model import for_torch  # pyright: ignore[reportMissingImports]

    sys.path.remove(str(folder))
    module = for_torch()
    module.load_state_dict(torch_state(own.params))
    torch.save({"state_dict": module.state_dict(), "made": Danger()}, folder / "danger.pt")
    safe = Reference("own_model:for_torch", "torch", weights="danger.pt", preparation=NCHW)
    with pytest.raises(
        ValueError, match=r"danger\.pt cannot be read as tensors alone .*classifier\.unpickle_runs_code"
    ):
        load_foreign(safe)
    assert not Danger.awake
    load_foreign(Reference("own_model:for_torch", "torch", weights="danger.pt", preparation=NCHW, unpickle=True))
    assert Danger.awake


class Danger:
    """An object that does something when it is unpickled."""

    awake = False

    def __reduce__(self):
        return wake, ()


def wake():
    Danger.awake = True
    return Danger()


def test_bad_torch_files_are_named(folder, own):
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"broken\.pt2 is no file of torch\.export\.save"):
        load_foreign(Reference(write(folder, "broken.pt2")))
    state = torch_state(own.params)
    state.pop("logits.bias")
    torch.save(state, folder / "part.pt")
    with pytest.raises(ValueError, match=r"(?s)part\.pt does not fit own_model:for_torch: .*logits\.bias"):
        load_foreign(Reference("own_model:for_torch", "torch", weights="part.pt"))
    torch.save([1, 2], folder / "list.pt")
    with pytest.raises(ValueError, match=r"list\.pt holds no state dict .* but list"):
        load_foreign(Reference("own_model:for_torch", "torch", weights="list.pt"))
