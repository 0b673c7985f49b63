"""The shipped config, shrunk, on a few real digits: train, interrupt, go on, break."""

import contextlib
import dataclasses
import io
import itertools
import json
import shutil
import signal

import jax
import numpy as np
import pytest
from rich.console import Console
from small_run import DIGITS, small_config

from cae_jax import Explainer
from cae_jax.cli import train as train_program
from cae_jax.config.reading import ConfigError
from cae_jax.errors import NonFiniteLoss, Terminated
from cae_jax.parallel import bucket as bucket_copies
from cae_jax.training import loop, unfinished
from cae_jax.training.interruption import Interruption
from cae_jax.training.run import _warn_of_chance
from cae_jax.workdir import checkpoints
from cae_jax.workdir.checkpoints import CheckpointError, CheckpointStore
from cae_jax.workdir.classifier_store import IDENTITY, load_classifier

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module")
def compiled():
    """Compiled functions of the runs that were started so far, by config and classifiers."""
    return {}


@pytest.fixture
def compiled_once(compiled, monkeypatch):
    """Starts of one config with the same classifiers share what is compiled, which holds nothing of a run's state."""
    prepare = loop.prepare

    def prepare_once(config, workdir, console, *handed_in):
        run = prepare(config, workdir, console, *handed_in)
        identities = [workdir / IDENTITY.format(name) for name in ("classifier", "oracle")]
        same = str(run.config), *(path.read_text() for path in identities if path.exists())
        trainer, functions = compiled.setdefault(same, (run.trainer, run.functions))
        return dataclasses.replace(run, trainer=trainer, functions=functions)

    monkeypatch.setattr(loop, "prepare", prepare_once)


@pytest.fixture(scope="module")
def shapes(trained):
    """Of the run's states."""
    return loop.prepare(small_config(), trained[0], Console(quiet=True)).trainer.shapes()


def start(workdir, trained):
    """The workdir of a run that has its classifiers already, those of the other one."""
    workdir.mkdir()
    shutil.copy(trained[0] / "run.json", workdir)
    for name in ("classifier", "oracle"):
        shutil.copytree(trained[0] / name, workdir / name)
    return workdir


def assert_same(first, second):
    unwrap = lambda x: jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x  # noqa: E731
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(unwrap(a), unwrap(b)), first, second)


def test_a_run_leaves_what_it_promises(trained):
    workdir, result, text = trained
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(result))
    promised = (
        "classifier_accuracy oracle_accuracy svm_accuracy swap_flip_rate swap_oracle_rate swap_svm_rate "
        "oracle_agreement svm_agreement reconstruction_keep_rate reconstruction_l1 class_code_knn_accuracy "
        "individual_code_leakage individual_code_leakage_linear individual_code_leakage_mlp "
        "individual_code_leakage_convolutional individual_code_leakage_svm individual_code_leakage_chance "
        "individual_code_leakage_svm_images train_seconds steps images_per_second data_source seed versions"
    )
    assert set(promised.split()) <= set(metrics)
    assert metrics["classifier_accuracy"] > 0.3
    assert metrics["svm_accuracy"] > 0.5  # of 400 digits
    assert all(0 <= metrics[name] <= 1 for name in promised.split()[:17])
    assert metrics["steps"] == 6
    assert metrics["data_source"] == str(DIGITS)
    lines = [json.loads(line) for line in (workdir / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [2, 4, 6]
    networks = ("class_encoder", "individual_encoder", "decoder", "discriminator")
    norms = {f"{kind}_norm/{network}" for kind in ("gradient", "update") for network in networks}
    assert all(line[name] > 0 for line in lines if line["kind"] == "train" for name in norms)
    assert list((workdir / "tensorboard").glob("events*"))
    assert len(list((workdir / "pictures").glob("*.png"))) == 3
    assert not (workdir / "profile").exists()
    assert "swap_flip_rate" in text


def test_an_untrained_class_code_is_called_collapsed(trained):
    _, result, text = trained
    assert result["verdict"].startswith("collapsed (")
    assert "step 6: collapsed (" in text
    assert "Not to be relied on: collapsed (" in text


def log_of(workdir):
    return (workdir / "log.jsonl").read_text()


def files_of(workdir):
    """Names of all files of training but those that every start, or Orbax, calls by other names.

    What explaining leaves is no part of it: other tests explain with the run that this one compares with.
    """
    names = (path.relative_to(workdir) for path in workdir.rglob("*") if path.is_file())
    others = {"tensorboard", "state", "ema", "params", "code_table.npz", "explained"}
    return {str(name) for name in names if not others & set(name.parts)}


def assert_same_end(workdir, other, shapes):
    """That two runs have come to the same: state, log, files, and what was chosen and scored."""
    stores = [CheckpointStore(folder / "checkpoints") for folder in (workdir, other)]
    assert_same(*(store.load(6, "state", shapes) for store in stores))
    assert log_of(workdir) == log_of(other)
    assert files_of(workdir) == files_of(other)
    timed = {"train_seconds", "prepare_seconds", "images_per_second"}
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (workdir, other)]
    assert {k: v for k, v in metrics[0].items() if k not in timed} == {
        k: v for k, v in metrics[1].items() if k not in timed
    }
    assert stores[0].best() == stores[1].best()
    facts = [{step: (x["score"], x["validated"]) for step, x in store.whole().items()} for store in stores]
    assert facts[0] == facts[1]


def interrupt_after(patch, calls, number):
    """Raises a signal after some calls of the step."""
    count = itertools.count(1)

    class Interrupted(Interruption):
        """Signals itself."""

        def take(self):
            super().take()
            if next(count) == calls:
                signal.raise_signal(number)

    patch.setattr(loop, "Interruption", Interrupted)


def test_an_interrupted_run_goes_on_to_the_same_end(trained, shapes, tmp_path, monkeypatch, caplog):
    workdir = start(tmp_path / "cut", trained)
    store = CheckpointStore(workdir / "checkpoints")

    @contextlib.contextmanager
    def going_on_from(before):
        console = Console(record=True, width=200)
        yield console
        text = console.export_text()
        assert (f"continuing from the checkpoint of step {before}" in text) == (before > 0)
        assert (f"step {before}: of swaps" in text) == (before > 0 and before % 2 == 0)

    before = 0
    for step, number, error in (
        (1, signal.SIGTERM, Terminated),  # before anything was validated
        (3, signal.SIGINT, KeyboardInterrupt),
        (4, signal.SIGTERM, Terminated),  # where there is a checkpoint anyway
        (6, signal.SIGTERM, Terminated),  # at the end
    ):
        with monkeypatch.context() as patch:
            interrupt_after(patch, step - before, number)
            with going_on_from(before) as console, pytest.raises(error):
                loop.train(small_config(), workdir, console)
        assert not (workdir / "metrics.json").exists()
        assert store.newest() == step
        facts = store.facts(step)
        assert facts["validated"] is False
        assert "score" not in facts
        lines = [json.loads(line) for line in log_of(workdir).splitlines()]
        assert (lines[-1]["step"], lines[-1]["kind"]) == (step, "train")
        if step == 1:
            assert Explainer.load(workdir).predict(np.zeros((1, 28, 28))).shape == (1, 10)
            assert "step 1 was saved when training was interrupted and was never validated" in caplog.text
        before = step
    with going_on_from(before) as console:
        loop.train(small_config(), workdir, console)
    assert_same_end(workdir, trained[0], shapes)


def test_a_signal_while_a_checkpoint_is_validated_finds_it_saved_and_a_full_disk_loses_no_more_than_is_not(
    trained, shapes, tmp_path, monkeypatch
):
    workdir = start(tmp_path / "cut", trained)
    store = CheckpointStore(workdir / "checkpoints")
    original_validate, original_write = loop.Checkpointer.validate, loop.Monitor.write

    def validate(checkpointer, state):
        if int(state.step) == 2:
            assert store.newest() == 2
            signal.raise_signal(signal.SIGINT)
        original_validate(checkpointer, state)

    def write(monitor, step, *values):
        if step == 3:
            (workdir / "log.jsonl").rename(workdir / "aside")
            (workdir / "log.jsonl").symlink_to("/dev/full")
        original_write(monitor, step, *values)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Checkpointer, "validate", validate)
        with pytest.raises(KeyboardInterrupt):
            loop.train(small_config(), workdir, Console(quiet=True))
    signal.signal(signal.SIGINT, before)
    assert store.newest() == 2
    with monkeypatch.context() as patch:
        patch.setattr(loop.Monitor, "write", write)
        with pytest.raises(OSError, match="No space left"):
            loop.train(small_config(), workdir, Console(quiet=True))
    (workdir / "aside").replace(workdir / "log.jsonl")
    assert store.newest() == 2
    loop.train(small_config(), workdir, Console(quiet=True))
    assert_same_end(workdir, trained[0], shapes)


def test_a_checkpoint_that_cannot_be_written_is_said_even_when_interrupted(trained, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    run = loop.prepare(small_config(), start(tmp_path / "full", trained), Console(quiet=True))
    interrupt_after(monkeypatch, 1, signal.SIGTERM)
    monkeypatch.setattr(checkpoints, "_seal", full)
    with pytest.raises(CheckpointError, match=r"could not be written: .*No space left"):
        loop.fit(run)


def test_classifiers_that_were_interrupted_go_on_to_the_same_bits(trained, shapes, tmp_path, monkeypatch):
    workdir = tmp_path / "cut"
    original = unfinished.Unfinished.after
    for name, steps in (("classifier", 60), ("oracle", 4)):
        kept = CheckpointStore(workdir / unfinished.FOLDER / name)
        seen, cuts = [], []

        def after(self, step, state, *settle, steps=steps, seen=seen, cuts=cuts):
            if self._facts["steps"] == steps:
                seen.append(step)
                if step == 2 + 2 * len(cuts):  # the second step of a start: before the first nothing is held up
                    self._interruption.take()  # it has let go where half a minute was over a step ago
                    signal.raise_signal(signal.SIGTERM)
            original(self, step, state, *settle)

        with monkeypatch.context() as patch:
            patch.setattr(unfinished.Unfinished, "after", after)
            for cut in (2, 4):
                with pytest.raises(Terminated):
                    loop.train(small_config(), workdir, Console(quiet=True))
                assert kept.newest() == cut
                cuts.append(cut)
        assert seen == [1, 2, 3, 4]
    loop.train(small_config(), workdir, Console(quiet=True))
    assert_same_end(workdir, trained[0], shapes)
    for name in ("classifier", "oracle"):
        assert_same(*(load_classifier(folder / name).params for folder in (workdir, trained[0])))


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
    loop.fit(loop.prepare(small_config(), workdir, console))
    assert victim.name in caplog.text
    assert "continuing from the checkpoint of step 4" in console.export_text()
    assert store.newest() == newest


def test_a_run_on_a_bucket_goes_on_where_another_host_left_it(trained, shapes, bucket, monkeypatch):
    bucket.put(str(trained[0]), "/run", recursive=True)
    bucket.rm("/run/checkpoints/00000006", recursive=True)
    bucket.rm("/run/metrics.json")
    monkeypatch.setattr(bucket_copies, "_copies", [])
    workdir = bucket_copies.folder("memory://run")
    bucket_copies.pull_all()
    console = Console(record=True, width=200)
    result = loop.train(small_config(), workdir, console)
    assert "continuing from the checkpoint of step 4" in console.export_text()
    assert json.loads((trained[0] / "metrics.json").read_text())["swap_probability"] == result["swap_probability"]
    assert bucket.exists("/run/checkpoints/00000006/manifest.json")
    bucket_copies.push_all()
    assert bucket.exists("/run/metrics.json")
    assert_same(*(CheckpointStore(folder / "checkpoints").load(6, "state", shapes) for folder in (trained[0], workdir)))


def test_another_config_is_refused(trained):
    with pytest.raises(ConfigError, match=r"seed: 0 there, 3 here"):
        loop.train(small_config(seed="3"), trained[0], Console(quiet=True))


def test_a_non_finite_loss_stops_with_step_and_term(trained, tmp_path):
    run = loop.prepare(small_config(), start(tmp_path / "broken", trained), Console(quiet=True))
    state = run.trainer.init()
    huge = state.replace(generator=jax.jit(lambda tree: jax.tree.map(lambda x: x * 1e30, tree))(state.generator))
    with pytest.raises(NonFiniteLoss, match=r"at step \d+ these losses are not finite: .*image"):
        loop.fit(dataclasses.replace(run, trainer=run.trainer._replace(init=lambda: huge)))


def test_the_classifier_of_an_earlier_run_is_reused_and_the_oracle_can_be_left_out(trained, tmp_path):
    config = small_config(
        **{"classifier.path": str(trained[0]), "oracle.steps": "0", "train.checkpoint_every": "6"},
        **{"evaluation.svm_images": "0"},
    )
    console = Console(file=io.StringIO(), width=200)
    result = loop.train(config, tmp_path / "alone", console)
    assert result["oracle_accuracy"] is None
    assert not {"swap_oracle_rate", "oracle_agreement"} & set(result)
    assert not [name for name in result if "svm" in name and "leakage" not in name]
    assert not (tmp_path / "alone" / "oracle").exists()
    assert "oracle" not in console.file.getvalue().replace("oracle_accuracy", "")
    assert not (tmp_path / "alone" / "classifier").exists()
    explainer, images = Explainer.load(tmp_path / "alone"), np.zeros((1, 28, 28))
    np.testing.assert_array_equal(explainer.predict(images), Explainer.load(trained[0]).predict(images))
    config.classifier.path = str(tmp_path / "alone")
    with pytest.raises(ConfigError, match=r"classifier.path: the run in .*alone trained no classifier; name its own"):
        loop.prepare(config, tmp_path / "again", Console(quiet=True))
    explainer.save_package(tmp_path / "package")
    assert "oracle" not in (tmp_path / "package" / "README.md").read_text()


def test_an_oracle_that_knows_nothing_is_doubted(trained):
    dataset = loop.prepare(small_config(), trained[0], Console(quiet=True)).dataset
    console = Console(file=io.StringIO(), width=400)
    _warn_of_chance({"classifier": 0.9, "oracle": 0.11}, dataset, console)
    assert "The oracle is right about 0.110 of the test images" in console.file.getvalue()
    assert "leave it out (oracle.steps=0)" in console.file.getvalue()
    assert "classifier" not in console.file.getvalue()


def test_train_program_arguments(capsys):
    options = train_program.PROGRAM.parse(["--config", "mnist", "--config.seed=3", "--config.data.fallback="])
    assert (options.config, options.changes) == ("mnist", {"seed": "3", "data.fallback": ""})
    assert train_program.PROGRAM(["--config", "mnist", "--config.train.stepz=3"]) == 1
    assert "unknown config key 'train.stepz'; did you mean train.steps" in capsys.readouterr().err
