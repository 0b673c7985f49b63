"""Bench configs: their keys, their values, and what is said of others."""

import pytest

from cae_jax.cli import train as train_program
from cae_jax.config.protocol import bench_config, check_bench_config, read_protocol
from cae_jax.config.reading import ConfigError, apply_overrides, find_config, load_config, shipped_configs

BENCH = [name for name in shipped_configs() if name.startswith("bench_")]


@pytest.mark.parametrize("name", BENCH)
def test_shipped_bench_configs_have_all_keys_and_a_protocol(name):
    config = load_config(find_config(name))
    check_bench_config(config)
    protocol = read_protocol(config)
    assert protocol.split == "test"
    assert protocol.confidence == 0.9


def test_the_three_comparisons_are_shipped():
    assert {"bench_mnist", "bench_synthetic", "bench_chest_xray"} <= set(BENCH)


def test_values_are_changed_by_dotted_key_tuples_by_commas():
    changes = {"protocol.fills": "blur,mean", "protocol.road_shares": "0.1,0.5", "methods": "CAE", "train.seed": "3"}
    config = apply_overrides(bench_config("mnist"), changes)
    assert config.protocol.fills == ("blur", "mean")
    assert config.protocol.road_shares == (0.1, 0.5)
    assert config.methods == ("CAE",)
    assert config.train.seed == 3
    with pytest.raises(ConfigError, match=r"road_shares takes tuple, not '0.1,x'"):
        apply_overrides(config, {"protocol.road_shares": "0.1,x"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol.images": "0"}, "protocol.images must be 1 or more, not 0"),
        ({"protocol.fills": "mean,noise"}, "protocol.fills must be some of mean, blur, imputation"),
        ({"protocol.fills": ""}, "protocol.fills must be some of"),
        ({"protocol.confidence": "1.5"}, r"protocol.confidence must lie in \(0, 1\]"),
        ({"cae.strategy": "telepathy"}, "cae.strategy 'telepathy' does not exist; there are closest, nearest, medoid"),
        ({"attribution.confidence": "0"}, r"attribution.confidence must be 'typical' or lie in \(0, 1\], not 0.0"),
        ({"protocol.split": "holdout"}, "protocol.split must be one of train, validation, test, not 'holdout'"),
    ],
)
def test_values_out_of_range_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        read_protocol(apply_overrides(bench_config("mnist"), change))


def test_a_training_config_is_no_bench_config_and_the_other_way_round(capsys):
    with pytest.raises(ConfigError, match=r"this is a training config; .* such as bench_brain_tumor"):
        check_bench_config(load_config(find_config("mnist")))
    assert train_program.PROGRAM(["--config", "bench_mnist"]) == 1
    assert "this is no training config: no key" in capsys.readouterr().err
