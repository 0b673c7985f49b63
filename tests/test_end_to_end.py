"""The shipped config, shrunk, on a few real digits: train, interrupt, go on, break, explain."""

import json
import shutil

import jax
import numpy as np
import pytest
from rich.console import Console

from cae_jax import Ending, Explainer
from cae_jax.cli import explain as explain_program
from cae_jax.cli import train as train_program
from cae_jax.data import ArraySource, Dataset, open_dataset
from cae_jax.explaining import InputError, explainer
from cae_jax.training import loop
from cae_jax.training import run as assembly
from cae_jax.training.checkpoints import CheckpointError, CheckpointStore
from cae_jax.training.config import ConfigError, apply_overrides, find_config, load_config

SMALL = {
    "data.name": "mnist_5k",
    "classifier.steps": "60",
    "oracle.steps": "4",
    "oracle.architecture": "small_cnn",
    "model.width": "4",
    "model.class_width": "4",
    "model.residual_blocks": "1",
    "model.mlp_width": "16",
    "model.class_head_width": "16",
    "discriminator.width": "4",
    "discriminator.hidden": "16",
    "train.steps": "6",
    "train.batch_size": "4",
    "train.checkpoint_every": "2",
    "train.log_every": "1",
    "evaluation.swaps": "64",
}


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Dataset:
    full = open_dataset("mnist_5k", str(tmp_path_factory.mktemp("data")))

    def few(source, count: int) -> ArraySource:
        rows = np.random.default_rng(0).permutation(len(source))[:count]
        return ArraySource(source.take(rows), source.labels[rows])

    return Dataset(full.name, full.class_names, few(full.train, 400), few(full.validation, 60), few(full.test, 60))


@pytest.fixture(autouse=True)
def small_data(monkeypatch, digits):
    for module in (assembly, explainer):
        monkeypatch.setattr(module, "open_dataset", lambda *_: digits)


def small_config(**changes: str):
    return apply_overrides(load_config(find_config("mnist")), SMALL | changes)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, digits):
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    console = Console(record=True, width=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "open_dataset", lambda *_: digits)
        result = loop.train(small_config(), workdir, console)
    return workdir, result, console.export_text()


def state_of(workdir, step: int):
    console = Console(quiet=True)
    run = loop.prepare(small_config(), workdir, console)
    return run.store.load(step, "state", run.trainer.init())


def assert_same(first, second):
    unwrap = lambda x: jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x  # noqa: E731
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(unwrap(a), unwrap(b)), first, second)


def test_a_run_leaves_what_it_promises(trained):
    workdir, result, text = trained
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(result))
    promised = (
        "classifier_accuracy oracle_accuracy swap_flip_rate swap_oracle_rate reconstruction_keep_rate "
        "reconstruction_l1 class_code_knn_accuracy individual_code_leakage individual_code_leakage_chance "
        "train_seconds steps images_per_second data_source seed versions"
    )
    assert set(promised.split()) <= set(metrics)
    assert metrics["classifier_accuracy"] > 0.3
    assert all(0 <= metrics[name] <= 1 for name in promised.split()[:9])
    assert metrics["steps"] == 6
    assert metrics["data_source"] == "mnist_5k"
    lines = [json.loads(line) for line in (workdir / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [2, 4, 6]
    assert list((workdir / "tensorboard").glob("events*"))
    assert len(list((workdir / "pictures").glob("*.png"))) == 3
    assert "swap_flip_rate" in text


def test_an_untrained_class_code_is_called_collapsed(trained):
    _, result, text = trained
    assert result["collapsed"]
    assert "COLLAPSE at step" in text


def test_an_interrupted_run_goes_on_to_the_same_end(trained, tmp_path, monkeypatch):
    workdir, _, _ = trained
    original = loop.check_finite

    def interrupt(terms, step):
        if step == 4:
            raise KeyboardInterrupt
        return original(terms, step)

    monkeypatch.setattr(loop, "check_finite", interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.train(small_config(), tmp_path / "cut", Console(quiet=True))
    assert not (tmp_path / "cut" / "metrics.json").exists()
    monkeypatch.setattr(loop, "check_finite", original)
    console = Console(record=True, width=200)
    loop.train(small_config(), tmp_path / "cut", console)
    assert "continuing from the checkpoint of step 4" in console.export_text()
    assert_same(state_of(workdir, 6), state_of(tmp_path / "cut", 6))


def test_a_finished_run_started_again_says_the_same(trained):
    workdir, result, _ = trained
    again = loop.train(small_config(), workdir, Console(quiet=True))
    assert again | {"prepare_seconds": 0} == result | {"prepare_seconds": 0}


def test_a_damaged_checkpoint_is_skipped_by_name(trained, tmp_path, caplog):
    workdir = tmp_path / "damaged"
    shutil.copytree(trained[0], workdir)
    store = CheckpointStore(workdir / "checkpoints")
    newest = store.newest()
    victim = max((workdir / "checkpoints" / f"{newest:08d}").rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    console = Console(record=True, width=200)
    loop.train(small_config(), workdir, console)
    assert victim.name in caplog.text
    assert "continuing from the checkpoint of step 4" in console.export_text()
    assert store.newest() == newest


def test_another_config_is_refused(trained):
    with pytest.raises(ConfigError, match=r"seed: 0 there, 3 here"):
        loop.train(small_config(seed="3"), trained[0], Console(quiet=True))


def test_a_non_finite_loss_stops_with_step_and_term(tmp_path):
    config = small_config(**{"optimizer.generator_rate": "1e30"})
    with pytest.raises(loop.NonFiniteLoss, match=r"at step \d+ these losses are not finite: .*image"):
        loop.train(config, tmp_path / "broken", Console(quiet=True))


def test_a_classifier_of_an_earlier_run_is_reused(trained, tmp_path):
    config = small_config(**{"classifier.path": str(trained[0] / "classifier")})
    loop.train(config, tmp_path / "reuse", Console(quiet=True))
    assert not (tmp_path / "reuse" / "classifier").exists()
    assert Explainer.load(tmp_path / "reuse").predict(np.zeros((1, 28, 28))).shape == (1, 10)


def test_explainer_shapes_and_targets(trained, digits):
    e = Explainer.load(trained[0])
    images = digits.test.take(np.arange(5))
    probabilities = e.predict(images)
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(e.predict(images[..., 0] / 255.0), probabilities, rtol=1e-4, atol=1e-6)
    individual_code, class_code = e.encode(images)
    assert class_code.shape == (5, 8)
    decoded = e.decode(individual_code, class_code)
    assert decoded.shape == (5, 28, 28, 1)
    assert decoded.min() >= 0
    assert decoded.max() <= 1
    for target, rows in (("any", 5), ("all", 45), (8, 5), ([0, 1, 2, 3, 4], 5)):
        record = e.explain(images, target, confidence=0.2)
        assert len(record) == rows
        assert record.counterfactual.shape == (rows, 28, 28, 1)
        assert record.saliency.shape == (rows, 28, 28)
        assert record.path_images.shape[:2] == (rows, len(record.path_shifts))
        unreached = np.isnan(record.shift)
        assert not record.saliency[unreached].any()
        assert np.array_equal(unreached, record.status != Ending.FLIPPED)
        assert (record.status[record.target == record.prediction] == Ending.ALREADY_TARGET).all()


@pytest.mark.parametrize("target", [10, -1, "8", 2.5, [1, 2]])
def test_targets_that_do_not_exist(trained, digits, target):
    with pytest.raises(InputError, match="target"):
        Explainer.load(trained[0]).explain(digits.test.take(np.arange(3)), target)


def test_a_workdir_without_a_run(tmp_path):
    with pytest.raises(ConfigError, match="holds no run"):
        Explainer.load(tmp_path)


def test_a_run_without_a_checkpoint(trained, tmp_path):
    (tmp_path / "run.json").write_bytes((trained[0] / "run.json").read_bytes())
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        Explainer.load(tmp_path)


def test_explain_program(trained, tmp_path, capsys):
    options = ["--workdir", str(trained[0]), "--index", "3,7", "--target", "8", "--out", str(tmp_path)]
    explain_program.explain(explain_program.parse(options), Console(width=200))
    rows = json.loads((tmp_path / "explanations.json").read_text())
    assert [row["image"] for row in rows] == ["test_3", "test_7"]
    assert all((tmp_path / row["picture"]).stat().st_size > 1000 for row in rows)
    with np.load(tmp_path / "explanations.npz", allow_pickle=False) as arrays:
        assert arrays["counterfactual"].shape == (2, 28, 28, 1)
    assert "2 explanations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "nine"], "target class 'nine' does not exist"),
        (["--index", "60"], "test split has images 0 to 59"),
        (["--input", "nowhere.png"], "nowhere.png does not exist"),
    ],
)
def test_explain_program_bad_input(trained, tmp_path, options, message):
    parsed = explain_program.parse(["--workdir", str(trained[0]), "--out", str(tmp_path), *options])
    with pytest.raises(InputError, match=message):
        explain_program.explain(parsed, Console(quiet=True))


def test_train_program_arguments(monkeypatch, capsys):
    options, changes = train_program.parse(["--config", "mnist", "--config.seed=3", "--config.data.fallback="])
    assert (options.config, changes) == ("mnist", {"seed": "3", "data.fallback": ""})
    monkeypatch.setattr("sys.argv", ["train.py", "--config", "mnist", "--config.train.stepz=3"])
    assert train_program.main() == 1
    assert "unknown config key 'train.stepz'; did you mean train.steps" in capsys.readouterr().err
