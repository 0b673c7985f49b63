"""Our metrics against independent implementations, whose answers `tests/expected/make_metrics.py` stored."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax import metrics

FOLDER = pathlib.Path(__file__).parent / "expected"
PATCH, STEP = 2, 4
CLOSE = {"rtol": 1e-5, "atol": 1e-7}


@pytest.fixture(scope="module")
def stored():
    with np.load(FOLDER / "metrics.npz", allow_pickle=False) as file:
        return {name.removeprefix("expected "): file[name] for name in file.files}


@pytest.fixture(scope="module")
def predict(stored):
    first, bias, second = (stored[name].astype(np.float64) for name in ("first", "bias", "second"))

    def answer(images):
        # In float64 on the host, since curves are compared to 1e-5.
        def compute(x):
            logits = np.tanh(np.asarray(x, np.float64).reshape(len(x), -1) @ first + bias) @ second
            odds = np.exp(logits - logits.max(-1, keepdims=True))
            return (odds / odds.sum(-1, keepdims=True)).astype(np.float32)

        return jax.pure_callback(compute, jax.ShapeDtypeStruct((images.shape[0], 3), np.float32), images)

    return answer


def curves(stored, predict, order="morf", mode="delete", colour=0.0, patch=1, steps=16):
    return metrics.perturbation_curves(
        predict,
        stored["images"],
        stored["classes"],
        stored["saliency"],
        patch=patch,
        steps=steps,
        fill=metrics.mean_fill(np.asarray([colour])),
        order=order,
        mode=mode,
    )


def test_the_versions_of_the_other_implementations_are_kept():
    assert set(json.loads((FOLDER / "metrics_versions.json").read_text())) >= {
        "quantus",
        "torchmetrics",
        "scikit-learn",
    }


def test_the_network_is_the_same(stored, predict):
    np.testing.assert_allclose(predict(jnp.asarray(stored["images"], jnp.float32)), stored["probabilities"], rtol=1e-4)


def test_pixel_flipping_is_quantus_s_after_the_untouched_image(stored, predict):
    found = curves(stored, predict)
    np.testing.assert_allclose(found[:, 1:], stored["quantus pixel_flipping"], **CLOSE)
    own = stored["probabilities"][np.arange(6), stored["classes"]]
    np.testing.assert_allclose(found[:, 0], own, rtol=1e-5)


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_regions_are_quantus_s_after_the_untouched_image(stored, predict, order):
    found = curves(stored, predict, order, patch=PATCH)
    drops = stored[f"quantus regions_{order}"]
    np.testing.assert_allclose(found[:, :1] - found[:, 1:], drops, **CLOSE)
    np.testing.assert_allclose(metrics.aopc(found), drops.sum(-1) / 17, **CLOSE)


def test_the_area_between_orders_is_that_of_quantus_s_drops(stored, predict):
    first, last = (curves(stored, predict, order, patch=PATCH) for order in ("morf", "lerf"))
    wanted = (stored["quantus regions_morf"] - stored["quantus regions_lerf"]).sum(-1) / 17
    np.testing.assert_allclose(metrics.area_between(first, last), wanted, **CLOSE)


@pytest.mark.parametrize(("mode", "name"), [("insert", "insertion_auc"), ("delete", "deletion_auc")])
def test_areas_under_insertion_and_deletion_are_scikit_learn_s(stored, predict, mode, name):
    found = metrics.area_under(curves(stored, predict, mode=mode, colour=0.25))
    np.testing.assert_allclose(found, stored[name], **CLOSE)


def test_imputation_is_quantus_s(stored):
    images, masks = jnp.asarray(stored["images"], jnp.float32), jnp.asarray(stored["masks"])
    found = metrics.linear_imputation(images, masks)
    np.testing.assert_allclose(found, stored["quantus imputed"], rtol=1e-5, atol=1e-6)
    # The noise on top: its standard deviation, within four standard errors.
    many = jnp.repeat(images, 200, axis=0), jnp.repeat(masks, 200, axis=0)
    noisy = metrics.noisy_linear_imputation(0.01)(*many, jax.random.key(0))
    noise = np.asarray(noisy - metrics.linear_imputation(*many))[np.asarray(many[1])]
    assert noise.std() == pytest.approx(0.01, rel=4 / np.sqrt(2 * len(noise)))
    assert noise.mean() == pytest.approx(0.0, abs=4 * 0.01 / np.sqrt(len(noise)))


def test_localisation_is_quantus_s_and_scikit_learn_s(stored):
    saliency, masks = stored["saliency"], stored["masks"]
    for name in ("pointing_game", "relevance_rank_accuracy", "relevance_mass_accuracy"):
        np.testing.assert_allclose(getattr(metrics, name)(saliency, masks), stored[f"quantus {name}"], **CLOSE)
    np.testing.assert_allclose(metrics.top_k_iou(saliency, masks), stored["iou"], **CLOSE)
    np.testing.assert_allclose(metrics.relevance_rank_accuracy(saliency, masks), stored["dice"], **CLOSE)
    np.testing.assert_allclose(metrics.relevance_rank_accuracy(saliency, masks), stored["precision"], **CLOSE)


def test_cout_is_that_of_its_paper(stored, predict):
    classes = stored["classes"]
    found = metrics.cout(
        predict, stored["images"], stored["counterfactuals"], classes, (classes + 1) % 3, steps=64 // STEP
    )
    np.testing.assert_allclose(found, stored["cout"], rtol=1e-5, atol=1e-6)


def test_kid_is_torchmetrics_s(stored):
    features, real = stored["features"], stored["real"][:40]
    whole = metrics.kid(features, real, subsets=1, subset_size=40)
    np.testing.assert_allclose(whole, stored["kid"].item(), rtol=1e-5)
    # Over random subsets: within four standard errors of the whole.
    drawn = [metrics.kid(features, real, seed=seed, subsets=1, subset_size=20) for seed in range(200)]
    assert np.mean(drawn) == pytest.approx(whole, abs=4 * np.std(drawn) / np.sqrt(len(drawn)))


def test_intervals_are_scipy_s(stored):
    mean, low, high = metrics.bootstrap_interval(stored["values"], 0, 20_000)
    assert mean == pytest.approx(stored["values"].mean())
    # Both ends are quantiles of 20,000 resamples: within a hundredth of the interval's width.
    width = np.diff(stored["interval"]).item()
    np.testing.assert_allclose([low, high], stored["interval"], atol=0.03 * width)
