"""Configs: found, overridden from text, compared with those of an earlier run."""

import pathlib

import pytest
from ml_collections import ConfigDict

from cae_jax.config.presets import default, official
from cae_jax.config.reading import (
    ConfigError,
    apply_overrides,
    check_resumable,
    find_config,
    flatten,
    load_config,
    shipped_configs,
    split_overrides,
)

ROOT = pathlib.Path(__file__).parents[1]


def make_config():
    return ConfigDict(
        {
            "seed": 0,
            "data": {"name": "mnist", "fallback": "mnist_5k"},
            "train": {"steps": 1000, "log_every": 20, "checkpoint_every": 100, "rate": 1e-3},
            "augment": {"mirror": False},
        }
    )


def test_a_config_is_found_by_path(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("")
    assert find_config(str(file)) == file


@pytest.mark.parametrize("name", ["mnist", "mnist.py", "configs/mnist.py"])
def test_a_shipped_config_is_found_by_name_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name).resolve() == ROOT / "configs" / "mnist.py"


@pytest.mark.parametrize("name", ["mnits", "elsewhere/mnist.py", "", "configs"])
def test_an_unknown_config_lists_the_shipped_ones(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="mnist"):
        find_config(name)


def test_all_shipped_configs_are_of_the_keys_and_types_of_the_official_preset():
    known = {key: type(value) for key, value in flatten(official()).items()}
    assert "mnist" in shipped_configs()
    for name, file in shipped_configs().items():
        if name.startswith("bench_"):  # of other keys: tests/test_protocol.py
            continue
        assert {key: type(value) for key, value in flatten(load_config(file)).items()} == known


def test_the_presets_differ_and_share_their_keys():
    ours, theirs = flatten(default()), flatten(official())
    assert ours.keys() == theirs.keys()
    assert theirs["labels"] == "dataset"
    assert ours["labels"] == "classifier"
    assert (theirs["model.width"], theirs["train.steps"], theirs["optimizer.schedule"]) == (64, 200_000, "halving")


def test_no_value_of_a_preset_is_none():
    assert None not in flatten(default()).values()


def test_a_file_without_get_config_is_named(tmp_path):
    file = tmp_path / "empty.py"
    file.write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"empty\.py has no function get_config"):
        load_config(file)


def test_a_get_config_of_another_type_is_named(tmp_path):
    file = tmp_path / "dictionary.py"
    file.write_text("def get_config():\n    return {}\n")
    with pytest.raises(ConfigError, match=r"dictionary\.py returned dict"):
        load_config(file)


def test_a_config_file_is_run(tmp_path):
    file = tmp_path / "good.py"
    file.write_text("import ml_collections\ndef get_config():\n    return ml_collections.ConfigDict({'a': {'b': 2}})\n")
    assert load_config(file).a.b == 2


def test_of_a_key_given_twice_the_last_value_counts():
    own, changes = split_overrides(["--config.seed=1", "--list", "--config.seed", "2"])
    assert (own, changes) == (["--list"], {"seed": "2"})


def test_flatten_joins_keys_by_dots():
    config = ConfigDict({"a": 1, "b": {"c": "x", "d": {"e": False}}})
    assert flatten(config) == {"a": 1, "b.c": "x", "b.d.e": False}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("train.steps", "200", 200),
        ("train.steps", "200_000", 200_000),
        ("seed", "-1", -1),
        ("train.rate", "5e-4", 5e-4),
        ("train.rate", "2", 2.0),
        ("augment.mirror", "true", True),
        ("augment.mirror", "False", False),
        ("data.name", "cifar10", "cifar10"),
        ("data.name", "3", "3"),
        ("data.fallback", "", ""),
    ],
)
def test_an_override_is_read_as_the_type_that_stood_there(key, text, value):
    config = make_config()
    changed = flatten(apply_overrides(config, {key: text}))
    assert changed[key] == value
    assert type(changed[key]) is type(value)
    before = flatten(make_config())
    assert {name for name in before if changed[name] != before[name]} <= {key}
    assert flatten(config) == before


def test_overrides_change_several_keys_at_once():
    config = apply_overrides(make_config(), {"train.steps": "5", "seed": "7"})
    assert (config.train.steps, config.seed, config.train.log_every) == (5, 7, 20)


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        ("train.steps", "many", "int"),
        ("train.steps", "1.5", "int"),
        ("train.steps", "", "int"),
        ("train.rate", "fast", "float"),
        ("augment.mirror", "1", "true or false"),
        ("augment.mirror", "", "true or false"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_key(key, text, wanted):
    with pytest.raises(ConfigError, match=rf"--config\.{key} takes {wanted}, not '{text}'"):
        apply_overrides(make_config(), {key: text})


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("train.step", r"did you mean train\.steps"),
        ("steps", r"did you mean train\.steps"),
        ("train", "data.name|train.steps"),
        ("zzzzzzzz", r"known keys: .*seed"),
    ],
)
def test_an_unknown_key_is_named_with_a_suggestion(key, hint):
    with pytest.raises(ConfigError, match=f"unknown config key '{key}'.*({hint})"):
        apply_overrides(make_config(), {key: "1"})


def test_the_same_config_may_go_on(tmp_path):
    check_resumable(make_config(), make_config(), tmp_path, True)


def test_spacing_of_logs_and_checkpoints_may_change(tmp_path):
    changed = apply_overrides(make_config(), {"train.log_every": "1", "train.checkpoint_every": "7"})
    check_resumable(make_config(), changed, tmp_path, True)


def test_what_is_about_the_cae_alone_may_change_until_it_has_a_checkpoint(tmp_path):
    changed = apply_overrides(make_config(), {"train.steps": "7", "train.rate": "0.7"})
    check_resumable(make_config(), changed, tmp_path, False)
    with pytest.raises(ConfigError, match=r"train\.steps"):
        check_resumable(make_config(), changed, tmp_path, True)
    for key, value in {"data.name": "other", "augment.mirror": "true", "seed": "7"}.items():
        with pytest.raises(ConfigError, match=key):
            check_resumable(make_config(), apply_overrides(make_config(), {key: value}), tmp_path, False)


def test_all_other_differences_are_listed_and_only_those(tmp_path):
    changed = apply_overrides(make_config(), {"train.log_every": "1", "train.steps": "7", "data.name": "other"})
    with pytest.raises(ConfigError) as caught:
        check_resumable(make_config(), changed, tmp_path, True)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "train.steps: 1000 there, 7 here" in message
    assert "data.name: 'mnist' there, 'other' here" in message
    for other in ("log_every", "seed", "fallback"):
        assert other not in message


def test_keys_that_one_of_them_lacks_are_listed(tmp_path):
    other = make_config()
    other.train.extra = 3
    with pytest.raises(ConfigError, match=r"train\.extra: '?\(absent\)'? there, 3 here"):
        check_resumable(make_config(), other, tmp_path, True)
    with pytest.raises(ConfigError, match=r"train\.extra: 3 there, '?\(absent\)'? here"):
        check_resumable(other, make_config(), tmp_path, True)
