"""The shipped config, shrunk, on a few real digits: train, interrupt, go on, break."""

import json
import shutil
import signal

import fsspec
import jax
import numpy as np
import pytest
from rich.console import Console
from small_run import small_config

from cae_jax import Explainer, mirror
from cae_jax.cli import train as train_program
from cae_jax.training import loop
from cae_jax.training.checkpoints import CheckpointStore
from cae_jax.training.config import ConfigError
from cae_jax.training.errors import NonFiniteLoss, Terminated

pytestmark = pytest.mark.usefixtures("small_data")


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


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_an_interrupted_run_goes_on_to_the_same_end(number, error, trained, tmp_path, monkeypatch):
    workdir, _, _ = trained
    original = loop.check_finite

    def interrupt(terms, step):
        if step == 3:  # while the fourth one runs
            signal.raise_signal(number)
        return original(terms, step)

    monkeypatch.setattr(loop, "check_finite", interrupt)
    with pytest.raises(error):
        loop.train(small_config(), tmp_path / "cut", Console(quiet=True))
    assert not (tmp_path / "cut" / "metrics.json").exists()
    monkeypatch.setattr(loop, "check_finite", original)
    console = Console(record=True, width=200)
    loop.train(small_config(), tmp_path / "cut", console)
    assert "continuing from the checkpoint of step 4" in console.export_text()
    assert_same(state_of(workdir, 6), state_of(tmp_path / "cut", 6))


def test_a_run_whose_disk_is_full_ends_and_goes_on_once_there_is_room(trained, tmp_path, monkeypatch):
    workdir = tmp_path / "full"
    original = loop.Journal.write

    def write(journal, step, *values):
        if step == 3:
            (workdir / "log.jsonl").rename(workdir / "aside")
            (workdir / "log.jsonl").symlink_to("/dev/full")
        original(journal, step, *values)

    monkeypatch.setattr(loop.Journal, "write", write)
    with pytest.raises(OSError, match="No space left"):
        loop.train(small_config(), workdir, Console(quiet=True))
    monkeypatch.setattr(loop.Journal, "write", original)
    (workdir / "aside").replace(workdir / "log.jsonl")
    loop.train(small_config(), workdir, Console(quiet=True))
    assert_same(state_of(trained[0], 6), state_of(workdir, 6))
    assert (workdir / "log.jsonl").read_text() == (trained[0] / "log.jsonl").read_text()


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


def test_a_run_on_a_bucket_goes_on_where_another_host_left_it(trained, tmp_path, monkeypatch):
    bucket = fsspec.filesystem("memory")
    bucket.put(str(trained[0]), "/run", recursive=True)
    bucket.rm("/run/checkpoints/00000006", recursive=True)
    bucket.rm("/run/metrics.json")
    monkeypatch.setattr(mirror, "_mirrors", [])
    workdir = mirror.folder("memory://run")
    mirror.pull_all()
    console = Console(record=True, width=200)
    result = loop.train(small_config(), workdir, console)
    assert "continuing from the checkpoint of step 4" in console.export_text()
    assert json.loads((trained[0] / "metrics.json").read_text())["swap_probability"] == result["swap_probability"]
    assert bucket.exists("/run/checkpoints/00000006/manifest.json")
    mirror.push_all()
    assert bucket.exists("/run/metrics.json")
    assert_same(state_of(trained[0], 6), state_of(workdir, 6))
    bucket.store.clear()


def test_another_config_is_refused(trained):
    with pytest.raises(ConfigError, match=r"seed: 0 there, 3 here"):
        loop.train(small_config(seed="3"), trained[0], Console(quiet=True))


def test_a_non_finite_loss_stops_with_step_and_term(tmp_path):
    config = small_config(**{"optimizer.generator_rate": "1e30"})
    with pytest.raises(NonFiniteLoss, match=r"at step \d+ these losses are not finite: .*image"):
        loop.train(config, tmp_path / "broken", Console(quiet=True))


def test_a_classifier_of_an_earlier_run_is_reused(trained, tmp_path):
    config = small_config(**{"classifier.path": str(trained[0] / "classifier")})
    loop.train(config, tmp_path / "reuse", Console(quiet=True))
    assert not (tmp_path / "reuse" / "classifier").exists()
    assert Explainer.load(tmp_path / "reuse").predict(np.zeros((1, 28, 28))).shape == (1, 10)


def test_train_program_arguments(monkeypatch, capsys):
    options, changes = train_program.parse(["--config", "mnist", "--config.seed=3", "--config.data.fallback="])
    assert (options.config, changes) == ("mnist", {"seed": "3", "data.fallback": ""})
    monkeypatch.setattr("sys.argv", ["train.py", "--config", "mnist", "--config.train.stepz=3"])
    assert train_program.main() == 1
    assert "unknown config key 'train.stepz'; did you mean train.steps" in capsys.readouterr().err
