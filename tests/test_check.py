"""Settings that cannot be, or do not go together: each is named, before anything is opened or trained."""

import contextlib
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from cae_jax.cli import train as train_program
from cae_jax.config import check, presets
from cae_jax.config.check import asked_in_steps, check_devices, check_images, check_settings
from cae_jax.config.reading import (
    ConfigError,
    apply_overrides,
    conform,
    find_config,
    flatten,
    load_config,
    shipped_configs,
)
from cae_jax.config.settings import file_settings
from cae_jax.models import Discriminator
from cae_jax.training import run
from cae_jax.workdir.generator import build_model, padded_shape, parameter_shapes
from cae_jax.workdir.record import RunRecord, read_record, write_record


def changed(**values):
    """The default preset with other values, by key with two underscores for a dot."""
    config = presets.default()
    for key, value in values.items():
        config.update_from_flattened_dict({key.replace("__", "."): value})
    return config


@pytest.mark.parametrize("name", [name for name in shipped_configs() if not name.startswith("bench_")])
def test_shipped_configs_pass_as_they_are(name):
    config = load_config(find_config(name))
    assert flatten(check_settings(config)) == flatten(config)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", -1, "seed must be from 0 to 2,000,000,000, not -1"),
        ("labels", "clasifier", "labels must be 'classifier' or 'dataset', not 'clasifier'"),
        ("data.name", "", "data.name is empty"),
        ("data.fit", "squash", "data.fit must be one of crop, pad, stretch, not 'squash'"),
        ("data.on_error", "ignore", "data.on_error must be one of raise, skip, not 'ignore'"),
        ("data.channels", 2, "data.channels must be 1, 3, or 0 for those of the files, not 2"),
        ("data.size", (2, 64), "data.size must be 4 pixels or more, not (2, 64)"),
        ("data.size", (32, 32, 3), "data.size takes two numbers, not (32, 32, 3)"),
        ("data.window", 400, "data.window takes two numbers, not (400.0,)"),
        ("data.window", (40, -1), "data.window must be a centre and a width above 0"),
        ("data.table.label", "", "data.table.label must be a name, not ''"),
        ("augment.max_shift", -1, "augment.max_shift must be 0 or more, not -1"),
        ("augment.max_rotation", 270, "augment.max_rotation must be from 0 to 180, not 270.0"),
        ("classifier.kind", "keras", "classifier.kind must be one of auto, jax, python, torch, onnx, not 'keras'"),
        (
            "classifier.head",
            "relu",
            "classifier.head must be one of softmax, logit, sigmoid, probabilities, probability, findings, not 'relu'",
        ),
        ("classifier.input.layout", "CHW", "classifier.input.layout must be 'NHWC' or 'NCHW', not 'CHW'"),
        ("classifier.input.order", "GBR", "classifier.input.order must be 'RGB' or 'BGR', not 'GBR'"),
        ("classifier.input.mean", (), "classifier.input.mean takes one number, or one for each channel, not none"),
        ("classifier.input.range", 255, "classifier.input.range takes two numbers, not (255.0,)"),
        ("classifier.architecture", "resnet", "classifier.architecture must be 'small_cnn' or 'residual'"),
        ("oracle.architecture", "vgg", "oracle.architecture must be 'small_cnn' or 'residual', not 'vgg'"),
        ("oracle.steps", -1, "oracle.steps must be 0 or more (0 leaves the oracle out), not -1"),
        ("classifier.steps", 0, "classifier.steps must be 1 or more, not 0"),
        ("oracle.learning_rate", 0.0, "oracle.learning_rate must be above 0, not 0.0"),
        ("classifier.finding", -1, "classifier.finding must be 0 or more, not -1"),
        ("model.dtype", "float16", "model.dtype must be 'float32' or 'bfloat16', not 'float16'"),
        ("model.individual_norm", "batch", "model.individual_norm must be 'instance' or 'layer', not 'batch'"),
        ("model.stem_kernel", 4, "model.stem_kernel must be odd, not 4"),
        ("model.stem_kernel", -1, "model.stem_kernel must be odd, not -1"),
        ("model.upsample_kernel", 7, "model.upsample_kernel must be 3 or 5, not 7"),
        ("model.residual_blocks", 0, "model.residual_blocks must be 1 or more"),
        ("model.class_code_size", 0, "model.class_code_size must be 1 or more, not 0"),
        ("discriminator.kernel_init", "zero", "discriminator.kernel_init must be 'normal' or 'he', not 'zero'"),
        ("discriminator.dropout", 1.0, "discriminator.dropout must be 0 or more and below 1, not 1.0"),
        ("discriminator.dtype", "half", "discriminator.dtype must be 'float32' or 'bfloat16', not 'half'"),
        ("loss.image", -1.0, "loss.image must be 0 or more, not -1.0"),
        ("loss.fidelity", float("nan"), "loss.fidelity takes a number, not nan"),
        ("optimizer.clip", -1.0, "optimizer.clip must be 0 or more, not -1.0"),
        ("optimizer.generator_rate", float("inf"), "optimizer.generator_rate takes a number, not inf"),
        ("optimizer.schedule", "linear", "optimizer.schedule must be 'halving' or 'cosine', not 'linear'"),
        ("train.steps", 0, "train.steps must be 1 or more, not 0"),
        ("train.batch_size", 1, "loss.leakage compares images of several pairs"),
        ("train.checkpoint_every", 0, "train.checkpoint_every must be 1 or more, not 0"),
        ("train.log_every", -20, "train.log_every must be 1 or more, not -20"),
        ("train.ema_decay", 1.0, "train.ema_decay must be 0 or more and below 1, not 1.0"),
        ("evaluation.swaps", 0, "evaluation.swaps must be 1 or more, not 0"),
        ("evaluation.svm_images", -1, "evaluation.svm_images must be 0 or more (0 leaves the second judge out)"),
    ],
)
def test_a_value_that_cannot_be_is_named(key, value, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_settings(changed(**{key.replace(".", "__"): value}))


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("train.steps", 1600.0, 1600),
        ("train.steps", np.int64(1600), 1600),
        ("train.steps", np.float32(1600), 1600),
        ("optimizer.generator_rate", 1, 1.0),
        ("optimizer.generator_rate", np.float64(0.5), 0.5),
        ("train.balanced", np.bool_(True), True),
        ("data.name", pathlib.Path("images"), "images"),
        ("data.name", "картинки", "картинки"),
        ("data.size", 64, (64,)),
        ("data.size", [64, 48], (64, 48)),
        ("data.size", np.asarray([64.0, 48.0]), (64, 48)),
        ("classifier.input.mean", 0.5, (0.5,)),
        ("classifier.input.range", [0, 255], (0.0, 255.0)),
    ],
)
def test_what_is_meant_is_read_in_the_type_that_the_key_has(key, value, read):
    found = flatten(check_settings(changed(**{key.replace(".", "__"): value})))[key]
    assert found == read
    assert type(found) is type(read)
    assert json.loads(json.dumps(found)) == (list(read) if isinstance(read, tuple) else read)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.steps", True, "train.steps takes a whole number, not True"),
        ("train.steps", 1.5, "train.steps takes a whole number, not 1.5"),
        ("train.steps", "100", "train.steps takes a whole number, not '100'"),
        ("train.steps", None, "train.steps takes a whole number, not None"),
        ("train.balanced", 1, "train.balanced takes true or false, not 1"),
        ("data.name", None, "data.name takes text, not None"),
        ("data.name", 3, "data.name takes text, not 3"),
        ("data.size", "64", "data.size takes a whole number, or several in brackets, not '64'"),
        ("data.size", (64.5, 64), "data.size takes a whole number, or several in brackets, not (64.5, 64)"),
        ("classifier.input.std", {0.5}, "classifier.input.std takes a number, or several in brackets, not {0.5}"),
    ],
)
def test_a_value_of_another_type_is_named(key, value, message):
    config = changed()
    section, _, name = key.rpartition(".")
    flat = config
    for part in section.split(".") if section else ():
        flat = flat[part]
    flat[name] = value
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_settings(config)


def test_keys_are_checked_wherever_a_run_begins(tmp_path):
    config = presets.default()
    config.data.sise = (64, 64)
    with pytest.raises(ConfigError, match=r"unknown key 'data\.sise'; did you mean data\.size"):
        run.prepare(config, tmp_path / "run", Console(quiet=True))
    config = presets.default()
    del config.loss.fidelity
    with pytest.raises(ConfigError, match=r"no key loss\.fidelity"):
        run.prepare(config, tmp_path / "run", Console(quiet=True))
    config = presets.default()
    config.augment = None
    with pytest.raises(ConfigError, match=r"key 'augment', which is a section with .* augment\.mirror$"):
        check_settings(config)
    with pytest.raises(ConfigError, match=r"is an ml_collections\.ConfigDict, not dict"):
        check_settings({"seed": 0})
    assert not (tmp_path / "run").exists()


def test_nothing_is_opened_before_settings_and_devices_are_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "open_dataset", lambda *_: pytest.fail("data were opened"))
    with pytest.raises(ConfigError, match="labels must be"):
        run.prepare(changed(labels="both"), tmp_path, Console(quiet=True))
    monkeypatch.setattr(check.jax, "device_count", lambda: 3)
    with pytest.raises(ConfigError, match=r"train\.batch_size is 16, which 3 devices .*, such as 18"):
        run.prepare(changed(), tmp_path, Console(quiet=True))
    check_devices(changed(train__batch_size=6))


@pytest.mark.parametrize(
    ("shape", "changes", "message"),
    [
        ((28, 28, 2), {}, "images must have 1 or 3 channels, not 2"),
        ((8, 30, 1), {}, "images of 8×30 pixels are too small for model.individual_downsamplings 3"),
        (
            (28, 28, 1),
            {"discriminator__downsamplings": 6},
            "images of 28×28 pixels are too small for discriminator.downsamplings 6",
        ),
        (
            (28, 28, 1),
            {"discriminator__block": 2, "discriminator__downsamplings": 5},
            "images of 28×28 pixels are too small for discriminator.downsamplings 5",
        ),
        (
            (28, 28, 1),
            {"discriminator__block": 3},
            "discriminator.block is 3, which does not divide images evenly as model.block and the downsamplings have "
            "them padded, to 32×32: set it to 1, as model.block is",
        ),
        (
            (12, 12, 1),
            {"model__block": 4, "model__individual_downsamplings": 2, "model__class_downsamplings": 2},
            "images of 12×12 pixels are too small for model.individual_downsamplings 2",
        ),
        ((28, 28, 1), {"augment__max_shift": 28}, "augment.max_shift is 28, which moves images of 28×28 pixels out of"),
    ],
)
def test_images_that_no_network_can_be_built_for_are_refused(shape, changes, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_images(changed(**changes), shape)


@pytest.mark.parametrize(("side", "down"), [(9, 3), (28, 4), (4, 0), (17, 4)])
def test_for_images_that_are_just_large_enough_networks_are_built(side, down):
    config = changed(model__individual_downsamplings=down, model__class_downsamplings=1, augment__max_shift=1)
    config.discriminator.downsamplings = (side - 1).bit_length() - 1
    check_images(config, (side, side, 1))
    model = build_model(config, (side, side, 1), 2)
    padded = padded_shape(model, (side, side, 1))
    assert parameter_shapes(model, padded)
    assert parameter_shapes(Discriminator(2, **config.discriminator.to_dict()), padded)


def test_networks_of_blocks_are_built_for_images_that_are_just_large_enough():
    config = changed(model__block=2, model__individual_downsamplings=2, model__class_downsamplings=1)
    config.discriminator.update(block=2, downsamplings=3)
    check_images(config, (13, 16, 1))
    model = build_model(config, (13, 16, 1), 2)
    assert padded_shape(model, (13, 16, 1)) == (16, 16, 1)
    assert parameter_shapes(model, (16, 16, 1))
    assert parameter_shapes(Discriminator(2, **config.discriminator.to_dict()), (16, 16, 1))


def _zeros():
    from cae_jax.data import ArraySource, Dataset

    source = ArraySource(np.zeros((4, 28, 28, 1), np.uint8), np.asarray([0, 1, 0, 1], np.int32))
    return Dataset("zeros", tuple("0123456789"), source, source, source)


def test_what_a_step_asks_the_classifier_for_is_named():
    assert asked_in_steps(presets.default()) == ["loss.consistency", "loss.fidelity", "model.individual_answers"]
    assert asked_in_steps(presets.pictures()) == ["loss.consistency", "loss.fidelity", "model.answers"]
    assert asked_in_steps(presets.official()) == asked_in_steps(presets.black_box()) == []


def write_run(workdir, **changes):
    config = presets.official()
    write_record(workdir, RunRecord(config, "mnist", ("0", "1"), (28, 28, 1), ""))
    fields = json.loads((workdir / "run.json").read_text())
    for key, value in changes.items():
        section, name = key.split("__")
        if value is None:
            del fields["config"][section][name]
        else:
            fields["config"][section][name] = value
    (workdir / "run.json").write_text(json.dumps(fields))


def test_keys_that_an_older_record_lacks_stand_for_what_was_done_then(tmp_path):
    write_run(tmp_path, train__swap_noise=None, data__window=None, model__width=32)
    config = read_record(tmp_path).config
    assert config.train.swap_noise == 0.0
    assert config.data.window == (0.0, 0.0)
    assert config.model.width == 32


def test_a_key_that_is_gone_is_unknown():
    config = presets.default()
    config.train.steps_per_call = 1
    with pytest.raises(ConfigError, match=r"unknown key 'train\.steps_per_call'"):
        check_settings(config)


@pytest.mark.parametrize("value", [1, 10])
def test_a_key_of_an_older_record_that_is_gone_is_dropped_whatever_its_value(value, tmp_path):
    write_run(tmp_path, train__steps_per_call=value)
    assert flatten(read_record(tmp_path).config) == flatten(presets.official())


def test_a_record_of_another_version_is_refused_by_its_keys(tmp_path):
    write_run(tmp_path, train__lookahead=3)
    with pytest.raises(ConfigError, match=r"run\.json has settings that this version .* does not know \(train\.l"):
        read_record(tmp_path)


def test_a_record_with_values_of_other_types_is_refused(tmp_path):
    write_run(tmp_path, model__width="wide")
    with pytest.raises(ConfigError, match=r"run\.json.*model\.width takes a whole number, not 'wide'"):
        read_record(tmp_path)


def say(arguments, monkeypatch, capsys):
    """What `train.py` says to some arguments that it refuses."""
    monkeypatch.setattr("cae_jax.cli.console.jax.config.update", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "400")  # a path is broken where a line ends
    with contextlib.suppress(SystemExit):
        assert train_program.PROGRAM(arguments, "train.py") == 1
    found = capsys.readouterr()
    return " ".join((found.out + found.err).split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.seed=-1"], "error: --config.seed must be from 0 to 2,000,000,000, not -1"),
        (["--config.train.steps=abc"], "--config.train.steps takes int, not 'abc'"),
        (["--config.train=5"], "unknown config key 'train', which is a section with the keys train.balanced, "),
        (["--config.data.name", "--config.seed=2"], "--config.data.name needs a value"),
        (["--config.labels=none"], "error: --config.labels must be 'classifier' or 'dataset', not 'none'"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_begins(arguments, message, tmp_path, monkeypatch, capsys):
    arguments = ["--config", "mnist", "--workdir", str(tmp_path / "run"), *arguments]
    assert message in say(arguments, monkeypatch, capsys)
    assert not (tmp_path / "run").exists()


PRESET = """\
from cae_jax.config import presets
def get_config():
    config = presets.default()
    {}
    return config
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PRESET.format("config.labels = 'both'"), "mine.py: labels must be 'classifier' or 'dataset', not 'both'"),
        (PRESET.format("config.data.sise = 3"), "mine.py: this is no training config: unknown key 'data.sise'"),
        (PRESET.format("config.train.steps = None"), "mine.py: train.steps takes a whole number, not None"),
        (PRESET.format("config.train.steps ="), "mine.py cannot be run in line 4: SyntaxError: invalid syntax"),
        (PRESET.format("config.nowhere.steps = 3"), "mine.py cannot be run in line 4: AttributeError: "),
        (PRESET.format("1 / 0"), "mine.py cannot be run in line 4: ZeroDivisionError: division by zero"),
        (PRESET.format("raise SystemExit(3)"), "mine.py cannot be run in line 4: SystemExit: 3"),
        ("def get_config(seed):\n    return seed\n", "mine.py cannot be run: TypeError: get_config() missing 1 req"),
        ("def get_config():\n    pass\n", "get_config() of {} returned NoneType, not an ml_collections.ConfigDict"),
        ("get_config = 3\n", "mine.py has no function get_config()"),
        ("import nowhere\n", "mine.py cannot be run in line 1: ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_a_config_file_that_is_wrong_is_named_with_the_line(text, message, tmp_path, monkeypatch, capsys):
    path = tmp_path / "mine.py"
    path.write_text(text)
    said = say(["--config", str(path), "--workdir", str(tmp_path / "run")], monkeypatch, capsys)
    assert message.replace("{}", str(path)) in said
    assert not (tmp_path / "run").exists()


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(ConfigError, match="is a folder; name a config file"):
        find_config(str(tmp_path))


def test_an_override_is_read_over_a_value_of_a_looser_type():
    config = conform(changed(data__size=64), presets.official(), "training config")
    assert apply_overrides(config, {"data.size": "(32, 48)"}).data.size == (32, 48)
    assert apply_overrides(config, {"train.steps": "2e3"}).train.steps == 2000


def test_a_workdir_that_is_a_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(run, "open_dataset", lambda *_: _zeros())
    with pytest.raises(ConfigError, match="file is a file; name a folder as --workdir"):
        run.prepare(changed(), tmp_path / "file", Console(quiet=True))


def test_the_greatest_seed_can_be_drawn_from():
    seed = check.GREATEST_SEED + run.ORACLE_SEED
    assert jax.random.uniform(jax.random.key(seed)).dtype == jnp.float32
    np.random.default_rng((seed, 3))
    np.random.RandomState(seed)


def test_classes_may_be_given_as_numbers():
    config = presets.default()
    config.data.classes = (1, 0)
    assert file_settings(config.data).classes == ("1", "0")
