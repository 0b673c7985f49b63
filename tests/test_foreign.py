"""Classifiers of other frameworks: the same answers, the same explanations, and what is wrong with some."""

import contextlib
import json
import re
import shutil
import sys

import numpy as np
import pytest
from rich.console import Console
from small_run import small_config

from benchmarks.twins import torch_state, write_module, write_onnx
from cae_jax.classifiers import ClassifierError, Contract, Preparation, Reference, load_foreign
from cae_jax.config.reading import ConfigError
from cae_jax.errors import OneClass
from cae_jax.explaining import Explainer
from cae_jax.training import loop
from cae_jax.workdir.classifier_store import load_classifier

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


def black_box_config(reference):
    unasked = {"loss.consistency": "0", "loss.fidelity": "0", "model.individual_answers": "False"}  # so no student
    config = small_config(**unasked, **{"oracle.steps": "0", "train.steps": "2"})
    settings = as_config(reference)
    config.classifier.input.layout = settings["input"]["layout"]
    config.classifier.input.range = tuple(settings["input"]["range"])
    config.classifier.update(path=reference.path, kind=reference.kind, weights=reference.weights)
    return config


def test_a_run_with_an_onnx_classifier_labels_the_data_once_and_is_explained(folder, own, digits, monkeypatch):
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
    monkeypatch.setattr("cae_jax.training.classifiers.predicted_classes", lambda *args, **_: asked.append(args))
    again = loop.prepare(config, folder / "run", Console(quiet=True))
    np.testing.assert_array_equal(again.predictions["test"], labels)
    assert not asked


def test_a_classifier_that_is_asked_wrongly_is_warned_of(folder, own):
    config = black_box_config(make_reference("onnx", folder, own.params))
    config.classifier.input.range = (0.0, 255.0)
    config.classifier.input.mean = (9000.0,)
    console = Console(record=True, width=500)
    with contextlib.suppress(OneClass):  # it may say the same of all
        loop.prepare(config, folder / "run", console)
    assert "no better than whoever always says the most frequent class" in console.export_text()


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
        (lambda f: Reference("own_model:for_jax", "jax", contract=Contract(head="tanh")), "head must be one of"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(folder, make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_foreign(make(folder))


def test_onnx_models_of_other_inputs_are_named(folder, own):
    reference = make_reference("onnx", folder, own.params)
    images = np.zeros((2, 28, 28, 1), np.float32)
    with pytest.raises(
        ClassifierError, match=r"model\.onnx takes \['batch', 1, 28, 28\], but was given \(2, 28, 28, 1\)"
    ):
        load_foreign(Reference(reference.path)).predict(images)
    with pytest.raises(ClassifierError, match=r"It answers with classifier\.input\.layout = 'NCHW'"):
        load_foreign(Reference(reference.path)).check(images, "0123456789")
    with pytest.raises(ValueError, match="onnxruntime has no device 'tpu' here"):
        load_foreign(Reference(reference.path, device="tpu"))


def test_a_missing_framework_is_named_with_what_installs_it(folder, own, monkeypatch):
    for name, kind in (("onnxruntime", "onnx"), ("torch", "torch")):
        monkeypatch.setitem(sys.modules, name, None)
        reference = Reference(write_onnx(folder / "model.onnx", own.params).name, kind)
        with pytest.raises(ValueError, match=re.escape(f"pip install 'cae_jax[{kind}]'")):
            load_foreign(reference)


def test_a_classifier_of_other_classes_is_refused(folder, own):
    config = black_box_config(make_reference("onnx", folder, own.params))
    config.classifier.head = "sigmoid"
    with pytest.raises(ConfigError, match=r"classifier\.head = 'sigmoid' has two classes, but the data has 10"):
        loop.prepare(config, folder / "run", Console(quiet=True))


def test_what_jax_cannot_trace_is_told_apart(folder, own):
    config = black_box_config(Reference("own_model:for_python", "jax", preparation=NHWC))
    with pytest.raises(
        ConfigError, match=r"own_model:for_python cannot be asked .* JAX cannot trace it; say kind = 'python'"
    ):
        loop.prepare(config, folder / "run", Console(quiet=True))


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
    torch.jit.save(torch.jit.trace(torch.nn.Linear(3, 2), torch.zeros(1, 3)), folder / "script.pt")
    with pytest.raises(ValueError, match=r"script\.pt is TorchScript, no file of torch\.export\.save: name a function"):
        load_foreign(Reference(str(folder / "script.pt"), "torch"))
    with pytest.raises(ValueError, match=r"net\.py is a Python file; name a function of it, as in .*net\.py:function"):
        load_foreign(Reference(write(folder, "net.py"), "torch"))
    state = torch_state(own.params)
    state.pop("logits.bias")
    torch.save(state, folder / "part.pt")
    with pytest.raises(ValueError, match=r"(?s)part\.pt does not fit own_model:for_torch: .*logits\.bias"):
        load_foreign(Reference("own_model:for_torch", "torch", weights="part.pt"))
    torch.save([1, 2], folder / "list.pt")
    with pytest.raises(ValueError, match=r"list\.pt holds no state dict .* but list"):
        load_foreign(Reference("own_model:for_torch", "torch", weights="list.pt"))


TORCH_MODULE = """
import torch


class Net(torch.nn.Module):
    def __init__(self, how="plain"):
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        self.noise = torch.nn.Dropout(0.5)
        self.norm = torch.nn.BatchNorm1d(3)
        self.how = how

    def forward(self, x):
        features = x.mean((2, 3))
        if self.how == "norm":
            features = self.norm(features)
        if self.how == "noise":
            features = self.noise(features)
        if self.how == "gradient":
            with torch.enable_grad():
                features = features.clone().requires_grad_()
                (features,) = torch.autograd.grad(features.square().sum() / 2, features)
        scores = self.linear(features)
        if self.how == "sparse":
            return scores.to_sparse()
        return {"dict": {"logits": scores, "hidden": features}, "tuple": (scores, features)}.get(self.how, scores)


def plain():
    return Net()


def double():
    return Net().double()


def half():
    return Net().bfloat16()


def wrapped():
    return torch.nn.DataParallel(Net())


def of_dict():
    return Net("dict")


def of_tuple():
    return Net("tuple")


def of_sparse():
    return Net("sparse")


def of_gradient():
    return Net("gradient")


def of_noise():
    return Net("noise")


def fails():
    raise OSError("no licence")


def deep():
    return torch.nn.Sequential(*[torch.nn.Linear(3, 3) for _ in range(100)])


def tensors(x):
    return torch.tensor(x).mean((1, 2)) @ torch.tensor([[-9.0, 9.0]] * 3, requires_grad=True)
"""
SMALL = np.random.default_rng(0).random((16, 4, 4, 3), np.float32)
TORCH_SCORES = (SMALL.mean((1, 2)) @ np.asarray([[-9.0, 9.0]] * 3)) - [-13.5, 13.5]


@pytest.fixture
def torch_folder(tmp_path, monkeypatch):
    """The current folder of somebody with a PyTorch model, and its state dict."""
    torch = pytest.importorskip("torch")
    (tmp_path / "nets.py").write_text(TORCH_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    import nets  # pyright: ignore[reportMissingImports]

    state = nets.Net().state_dict()
    state["linear.weight"], state["linear.bias"] = torch.tensor([[-9.0] * 3, [9.0] * 3]), torch.tensor([13.5, -13.5])
    torch.save(state, tmp_path / "w.pt")
    yield state
    del sys.modules["nets"]


def torch_reference(function="plain", weights="w.pt", **more):
    return Reference(f"nets.py:{function}", "torch", weights, Preparation(layout="NCHW"), **more)


def expected_answers(scores=TORCH_SCORES):
    return 1 / (1 + np.exp(scores[:, ::-1] - scores))


@pytest.mark.parametrize(
    ("function", "output", "tolerance"),
    [("plain", "", 1e-5), ("double", "", 1e-5), ("half", "", 0.1), ("of_dict", "", 1e-5), ("of_tuple", "0", 1e-5),
     ("of_sparse", "", 1e-5), ("of_gradient", "", 1e-5)],
)  # fmt: skip
def test_torch_modules_of_any_type_and_output_are_read(torch_folder, function, output, tolerance):
    foreign = load_foreign(torch_reference(function, contract=Contract(output=output)))
    foreign.check(SMALL, ("dark", "light"))
    np.testing.assert_allclose(foreign.predict(SMALL), expected_answers(), atol=tolerance)


def test_tensors_of_a_function_are_read(torch_folder):
    foreign = load_foreign(Reference("nets.py:tensors", "python"))
    np.testing.assert_allclose(
        foreign.predict(SMALL), expected_answers(TORCH_SCORES + np.asarray([-13.5, 13.5])), atol=1e-4
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"epoch": 3, "model_state_dict": s, "optimizer_state_dict": {}, "loss": 0.3},
        lambda s: {"epoch": 3, "model": s, "ema": {k: v * 0 for k, v in s.items()}, "optimizer": {"state": {}}},
        lambda s: {"net": s, "acc": 97.5},
        lambda s: {"checkpoint": {"state_dict": s}, "args": {"lr": 0.1}},
        lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}, "hyper_parameters": {"lr": 0.1}},
        lambda s: {"state_dict": {f"net.module.{k}": v for k, v in s.items()} | {"loss.weight": s["linear.bias"]}},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {f"_orig_mod.module.{k}": v for k, v in s.items()},
        lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
    ],
)
@pytest.mark.parametrize("function", ["plain", "wrapped"])
def test_usual_checkpoints_are_unwrapped(torch_folder, wrap, function, tmp_path):
    torch = pytest.importorskip("torch")

    torch.save(wrap(torch_folder), tmp_path / "c.pt")
    foreign = load_foreign(torch_reference(function, "c.pt"))
    np.testing.assert_allclose(foreign.predict(SMALL), expected_answers(), atol=1e-5)


def test_safetensors_are_read(torch_folder, tmp_path):
    import safetensors.torch

    safetensors.torch.save_file(torch_folder, tmp_path / "c.safetensors")
    foreign = load_foreign(torch_reference(weights="c.safetensors"))
    np.testing.assert_allclose(foreign.predict(SMALL), expected_answers(), atol=1e-5)
    write(tmp_path, "d.safetensors")
    with pytest.raises(ValueError, match=r"d\.safetensors cannot be read"):
        load_foreign(torch_reference(weights="d.safetensors"))


def test_what_was_unwrapped_is_logged(torch_folder, tmp_path, caplog):
    torch = pytest.importorskip("torch")

    torch.save({"model": torch_folder, "ema": torch_folder}, tmp_path / "c.pt")
    with caplog.at_level("INFO"):
        load_foreign(torch_reference(weights="c.pt"))
    assert "c.pt: read under 'model'; left aside: ema" in caplog.text


def test_states_that_cannot_be_told_apart_or_do_not_fit_are_named_briefly(torch_folder, tmp_path):
    torch = pytest.importorskip("torch")

    torch.save({"student": torch_folder, "teacher": torch_folder}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"c\.pt holds several state dicts \(student, teacher\)"):
        load_foreign(torch_reference(weights="c.pt"))
    with pytest.raises(ValueError, match=r"it lacks .* and 196 more; it has besides linear") as raised:
        load_foreign(torch_reference("deep"))
    assert len(str(raised.value)) < 300
    torch.save(torch_folder | {"linear.weight": torch.zeros(5, 3)}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"c\.pt does not fit nets\.py:plain: size mismatch for linear\.weight"):
        load_foreign(torch_reference(weights="c.pt"))
    torch.save({"epoch": 3}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"holds no state dict \(names to tensors\), but dict with epoch"):
        load_foreign(torch_reference(weights="c.pt"))
    with pytest.raises(ValueError, match=r"nets\.py:fails\(\) raised OSError: no licence"):
        load_foreign(torch_reference("fails"))


def test_advice_that_is_followed_already_is_not_given(torch_folder, tmp_path):
    write(tmp_path, "c.pt", b"no pickle")
    with pytest.raises(ValueError, match=r"c\.pt cannot be read") as raised:
        load_foreign(torch_reference(weights="c.pt", unpickle=True))
    assert "unpickle_runs_code" not in str(raised.value)
    with pytest.raises(ValueError, match="unpickle_runs_code") as raised:
        load_foreign(torch_reference(weights="c.pt"))
    assert "\x1b" not in str(raised.value)


def exported(module, name, shape=(2, 3, 4, 4), open_batch=True):
    torch = pytest.importorskip("torch")

    shapes = {"x": {0: torch.export.Dim("batch")}} if open_batch else None
    torch.export.save(torch.export.export(module, (torch.zeros(shape),), dynamic_shapes=shapes), name)


def test_exported_files_say_what_they_take_and_whether_they_are_in_training_mode(torch_folder):
    import nets  # pyright: ignore[reportMissingImports]

    module = nets.Net()
    module.load_state_dict(torch_folder)
    exported(module.eval(), "eval.pt2")
    layout = Preparation(layout="NCHW")
    foreign = load_foreign(Reference("eval.pt2", preparation=layout))
    foreign.check(SMALL, ("dark", "light"))
    np.testing.assert_allclose(foreign.predict(SMALL), expected_answers(), atol=1e-5)
    with pytest.raises(
        ClassifierError, match=r"eval\.pt2 takes \('any', 3, 4, 4\), .*classifier\.input\.layout = 'NCHW'"
    ):
        load_foreign(Reference("eval.pt2")).check(SMALL, ("dark", "light"))
    exported(module.eval(), "eight.pt2", (8, 3, 4, 4), open_batch=False)
    eight = load_foreign(Reference("eight.pt2", preparation=layout))
    eight.check(SMALL, ("dark", "light"))
    np.testing.assert_allclose(eight.predict(SMALL[:11]), expected_answers()[:11], atol=1e-5)
    with pytest.raises(ValueError, match=r"eight\.pt2 takes batches of 8, so batch_size cannot be 4"):
        load_foreign(Reference("eight.pt2", preparation=layout, contract=Contract(batch_size=4)))
    for how, message in (("noise", "change from call to call"), ("norm", "change (from call|with the other images)")):
        module.how = how
        exported(module.train(), f"{how}.pt2")
        with pytest.raises(ClassifierError, match=message):
            load_foreign(Reference(f"{how}.pt2", preparation=layout)).check(SMALL, ("dark", "light"))


def test_a_built_module_is_put_into_the_mode_for_predictions(torch_folder):
    foreign = load_foreign(torch_reference("of_noise"))
    foreign.check(SMALL, ("dark", "light"))
    np.testing.assert_allclose(foreign.predict(SMALL), expected_answers(), atol=1e-5)


def test_torchscript_is_told_from_a_state_dict(torch_folder, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/constants.pkl", b"")
    with pytest.raises(ValueError, match=r"script\.pt is TorchScript, .*torch\.jit\.load"):
        load_foreign(torch_reference(weights="script.pt"))
    with pytest.raises(ValueError, match=r"torch\.jit\.load in it reads TorchScript"):
        load_foreign(Reference("script.pt"))


def onnx_file(outputs, kind="FLOAT", batch="batch", reshape=False):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    h, t = onnx.helper, getattr(onnx.TensorProto, kind)
    kernel = onnx.numpy_helper.from_array(np.asarray([[-9, 9]] * 3, np.float32), "kernel")
    bias = onnx.numpy_helper.from_array(np.asarray([13.5, -13.5], np.float32), "bias")
    shape = onnx.numpy_helper.from_array(np.asarray([1, 3], np.int64), "shape")
    nodes = [
        h.make_node("Cast", ["x"], ["images"], to=onnx.TensorProto.FLOAT),
        h.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        h.make_node("Reshape", ["pooled", "shape"], ["features"]) if reshape
        else h.make_node("Flatten", ["pooled"], ["features"]),
        h.make_node("Gemm", ["features", "kernel", "bias"], ["logits"]),
        h.make_node("Identity", ["logits"], ["second"]),
    ]  # fmt: skip
    infos = [h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["b", None]) for name in outputs]
    images = h.make_tensor_value_info("x", t, [batch, 3, 4, 4])
    graph = h.make_graph(nodes, "g", [images], infos, [kernel, bias, shape])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8), "o.onnx")


@pytest.mark.parametrize(
    ("outputs", "output"),
    [(["logits"], ""), (["features", "logits"], ""), (["features", "second"], "second"), (["features", "second"], "1")],
)
def test_the_output_of_an_onnx_model_is_found_by_name(tmp_path, monkeypatch, outputs, output):
    monkeypatch.chdir(tmp_path)
    onnx_file(outputs)
    foreign = load_foreign(
        Reference("o.onnx", preparation=Preparation(layout="NCHW"), contract=Contract(output=output))
    )
    foreign.check(SMALL, ("dark", "light"))
    np.testing.assert_allclose(foreign.predict(SMALL), expected_answers(), atol=1e-5)


def test_onnx_models_of_several_outputs_other_types_or_one_image_are_named_or_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layout = Preparation(layout="NCHW")
    onnx_file(["features", "second"])
    with pytest.raises(
        ClassifierError, match=r"dict\(features: .*; say with classifier\.output .*'features' or 'second'"
    ):
        load_foreign(Reference("o.onnx", preparation=layout)).check(SMALL, ("dark", "light"))
    onnx_file(["logits"], reshape=True)
    with pytest.raises(ClassifierError, match=r"say classifier\.batch_size = 1"):
        load_foreign(Reference("o.onnx", preparation=layout)).check(SMALL, ("dark", "light"))
    alone = load_foreign(Reference("o.onnx", preparation=layout, contract=Contract(batch_size=1)))
    alone.check(SMALL, ("dark", "light"))
    np.testing.assert_allclose(alone.predict(SMALL[:5]), expected_answers()[:5], atol=1e-5)
    for kind in ("FLOAT16", "DOUBLE"):
        onnx_file(["logits"], kind)
        foreign = load_foreign(Reference("o.onnx", preparation=layout))
        np.testing.assert_allclose(foreign.predict(SMALL), expected_answers(), atol=1e-2)
    onnx_file(["logits"], "UINT8")
    with pytest.raises(ValueError, match=r"whole numbers from 0 to 255: say input\.range = \(0, 255\)"):
        load_foreign(Reference("o.onnx", preparation=layout))
    levels = load_foreign(Reference("o.onnx", preparation=Preparation(layout="NCHW", range=(0.0, 255.0))))
    of_levels = (np.round(SMALL * 255).mean((1, 2)) @ np.asarray([[-9.0, 9.0]] * 3)) + [13.5, -13.5]
    np.testing.assert_allclose(levels.predict(SMALL)[:, 1], of_levels[:, 1] > 0, atol=1e-5)
