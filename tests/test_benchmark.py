"""The benchmark of the search on a short run, and the PyTorch recipe against our networks where PyTorch is there."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from benchmarks import scaling, soak
from benchmarks import search as benchmark_search
from benchmarks.memory import exchanged
from benchmarks.path_search import largest_difference, make_search, measure, quality
from cae_jax import Explainer, classifiers, models
from cae_jax.config import apply_overrides, presets
from cae_jax.config.check import asked_in_steps
from cae_jax.config.reading import find_config, load_config
from cae_jax.counterfactual import Crossings, Paths, needed_odds
from cae_jax.models.codec import RESIDUALS
from cae_jax.models.layers import from_blocks, smooth


def toy_paths(count):
    """From (1, 0) to (0, 1): the second class takes over half-way."""
    ends = np.tile(np.asarray([[[1.0, 0.0], [0.0, 1.0]]], np.float32), (count, 1, 1))
    own, target = np.zeros(count, np.int32), np.ones(count, np.int32)
    return Paths(np.zeros((count, 1, 1, 2), np.float32), ends, own, target, needed_odds(0.9, target, None))


def decode(individual_code, class_code):
    return individual_code + class_code[:, None, None, :]


def predict(images):
    return jax.nn.softmax(20.0 * images[:, 0, 0])


def test_a_search_is_timed_over_all_rows_whatever_its_batches():
    paths = toy_paths(7)
    for batch_size, slots in ((1, 1), (4, 2), (16, 16)):
        timing = measure("toy", make_search(decode, predict, batch_size, slots, 1 / 64), paths, repetitions=1)
        assert timing.rows == len(timing.crossings.shift) == 7
        np.testing.assert_allclose(timing.crossings.flip_shift, 0.5, atol=1 / 32)
        assert timing.per_second == pytest.approx(7 / timing.seconds)
        assert 10 < timing.decodes < 20


def test_searches_differ_without_end_where_only_one_found_anything():
    nan = np.nan
    assert largest_difference(np.asarray([0.5, nan]), np.asarray([0.25, nan])) == 0.25
    assert largest_difference(np.asarray([nan]), np.asarray([nan])) == 0.0
    assert largest_difference(np.asarray([0.5]), np.asarray([nan])) == np.inf


def test_quality_counts_all_rows_and_the_reconstructed():
    nan = np.nan
    crossings = Crossings(
        np.asarray([0.5, 0.5, nan, nan]),
        np.asarray([0.6, nan, nan, nan]),
        np.asarray([0, 0, 0, 1]),  # the last is not reconstructed
        np.ones(4, bool),
        np.full(4, 17),
    )
    at = lambda code, waypoints, shift: shift  # noqa: E731
    oracle = lambda shift: np.stack([shift < 0.8, shift >= 0.8], axis=-1)  # noqa: E731
    found = quality(toy_paths(4), crossings, at, oracle)
    assert found["endings"]["FLIPPED"] == found["endings"]["WEAK"] == found["endings"]["NOT_RECONSTRUCTED"] == 1
    assert found["reached"] == 0.25
    assert found["reached_of_reconstructed"] == pytest.approx(1 / 3)
    assert found["oracle_confirms_of_reached"] == 0.0
    assert found["oracle_at_end"] == 1.0
    assert found["median_shift"] == pytest.approx(0.6)


def test_the_program_writes_a_table_numbers_and_a_plot(trained, tmp_path, monkeypatch):
    table = Explainer.load(trained[0]).code_table  # of a model that is hardly trained: let it be sure of the labels
    sure = table._replace(predictions=table.labels, odds=np.full(len(table.labels), 9.0))
    monkeypatch.setattr(Explainer, "code_table", sure)
    options = ["--workdir", str(trained[0]), "--num", "12", "--sample", "2", "--memory", "16", "--out", str(tmp_path)]
    console = Console(record=True, width=200)
    benchmark_search.benchmark(benchmark_search.PROGRAM.parse(options), console)
    with (tmp_path / "search.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert {"ours", "ours, one at a time", "batches of 4"} <= rows.keys()
    assert float(rows["ours"]["per_second"]) > 0
    found = json.loads((tmp_path / "search.json").read_text())
    assert sum(found["quality"]["geodesic"]["endings"].values()) <= 12
    assert set(found["peak_memory_bytes"]) == {"12", "16"}
    assert (tmp_path / "search.png").stat().st_size > 1000
    assert "one at a time" in console.export_text()


def test_what_devices_exchange_is_counted_once():
    program = """
  %all-reduce.1 = (f32[3,3]{1,0:T(4,128)}, bf16[8]{0}) all-reduce(%a, %b), channel_id=1, to_apply=%add
  %start = (f32[2,4]{1,0}, f32[16,4]{1,0}) all-gather-start(%c), dimensions={0}
  %done = f32[16,4]{1,0} all-gather-done(%start)
  %sum = f32[] all-reduce-start(%d), to_apply=%add
  %fusion = f32[100]{0} fusion(%done), kind=kLoop, calls=%like-all-reduce
"""
    assert exchanged(program) == ("1 all-gather, 2 all-reduce", 9 * 4 + 8 * 2 + 16 * 4 * 4 + 4)
    assert exchanged("%x = f32[] add(%a, %b)") == ("none", 0.0)


def test_the_torch_recipe_draws_and_classifies_as_we_do():
    torch = pytest.importorskip("torch", reason="the torch extra is not installed")
    recipe = pytest.importorskip("benchmarks.torch_recipe")
    rng = np.random.default_rng(0)
    decoder = models.Decoder(
        channels=3,
        width=4,
        upsamplings=2,
        residual_blocks=2,
        mlp_width=8,
        upsample_kernel=5,
        output_kernel=7,
        code_channels=2,
        dtype="float32",
    )
    code, class_code = (rng.normal(size=s).astype(np.float32) for s in ((2, 6, 6, 2), (2, 5)))
    params = decoder.init(jax.random.key(0), jnp.asarray(code), jnp.asarray(class_code))["params"]
    drawn = recipe.decode(
        recipe.to_torch(params, recipe.beside_jax()),
        torch.from_numpy(code).permute(0, 3, 1, 2),
        torch.tensor(class_code),
    )
    ours = models.apply(decoder, params, jnp.asarray(code), jnp.asarray(class_code))
    np.testing.assert_allclose(drawn.permute(0, 2, 3, 1), ours, atol=1e-4)

    blocks = rng.random((2, 5, 6, 8)).astype(np.float32)
    pixels = recipe.from_blocks(torch.from_numpy(blocks).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    np.testing.assert_allclose(pixels, smooth(from_blocks(jnp.asarray(blocks), 2)), atol=1e-6)
    three = rng.random((3, 1, 12, 10, 3)).astype(np.float32)
    for residual, keep in RESIDUALS.items():
        kept = recipe.keep_exemplar(three[0, 0], three[1, 0], torch.from_numpy(three[2]).permute(0, 3, 1, 2), residual)
        np.testing.assert_allclose(kept.permute(0, 2, 3, 1), keep(*jnp.asarray(three)), atol=1e-5)

    network = classifiers.make_classifier("small_cnn", 4)
    images = rng.random((3, 28, 28, 1)).astype(np.float32)
    params = network.init(jax.random.key(1), jnp.asarray(images))["params"]
    answers = recipe.classify(
        recipe.to_torch(params, recipe.beside_jax()), torch.from_numpy(images).permute(0, 3, 1, 2)
    )
    np.testing.assert_allclose(answers, classifiers.make_predict(network, params)(jnp.asarray(images)), atol=1e-5)


def test_the_configs_of_benchmarks_do_what_they_are_to_show():
    assert asked_in_steps(apply_overrides(presets.black_box(), scaling.SMALL)) == []  # no classifier is at hand there
    changes = {key: str(value) for key, value in soak.CHANGES.items()}
    train = apply_overrides(load_config(find_config("mnist_5k")), changes).train
    assert train.warmup_steps < train.steps  # a killed warm-up shows nothing of checkpoints
