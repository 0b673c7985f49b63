"""Individual codes of whole numbers: rounding, the noise in its place, and how many bits they take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from published import make_cae, make_discriminator

from cae_jax import presets
from cae_jax.config import ConfigError
from cae_jax.config.check import asked_in_steps, check_model, check_settings
from cae_jax.models import apply
from cae_jax.models.code_prior import STEEPNESS, CodePrior
from cae_jax.training.objectives import UNWEIGHTED, Networks, generate

SIZES = {
    "width": 4,
    "class_width": 4,
    "class_code_size": 4,
    "class_downsamplings": 2,
    "individual_downsamplings": 1,
    "individual_code_channels": 2,
    "individual_code_rounded": True,
    "residual_blocks": 1,
    "mlp_width": 8,
    "stem_kernel": 3,
    "output_kernel": 3,
}


@pytest.fixture(scope="module")
def model():
    return make_cae(1, **SIZES, individual_answers=True)


@pytest.fixture(scope="module")
def images():
    return jax.random.uniform(jax.random.key(1), (4, 8, 8, 1), minval=-1.0, maxval=1.0)


@pytest.fixture(scope="module")
def params(model, images):
    return jax.jit(model.init)(jax.random.key(0), images)["params"]


@pytest.fixture(scope="module")
def encode(model):
    return jax.jit(lambda params, *inputs: apply(model, params, *inputs, method="encode")[0])


def test_codes_that_are_not_rounded_have_one_size_whatever_the_answer_does_to_them(images):
    model = make_cae(1, **SIZES | {"individual_code_rounded": False}, individual_answers=True)
    params = jax.jit(model.init)(jax.random.key(0), images)["params"]
    answer = params["individual_encoder"]["answer"]
    answer |= {
        "kernel": jnp.full_like(answer["kernel"], -0.5),
        "bias": jax.random.normal(jax.random.key(1), answer["bias"].shape),
    }
    code = jax.jit(lambda *inputs: apply(model, *inputs, method="encode")[0])(params, images, likely([0, 1, 0, 1]))
    np.testing.assert_allclose(np.square(code).mean((1, 2, 3)), 1.0, rtol=1e-3)


def likely(answers_of):
    return jax.nn.one_hot(jnp.asarray(answers_of), 2)


def test_bits_are_minus_the_log_of_a_logistic_distribution_of_whole_numbers():
    middle, scale = np.asarray([0.3, -2.0], np.float32), np.asarray([0.8, 3.0], np.float32)
    prior = {"middle": middle / STEEPNESS, "log_scale": np.log(scale) / STEEPNESS}
    codes = np.random.default_rng(0).integers(-9, 10, (3, 2, 2, 2))
    logistic = scipy.stats.logistic(middle, scale)
    expected = -np.log2(logistic.cdf(codes + 0.5) - logistic.cdf(codes - 0.5)).sum((1, 2, 3))
    np.testing.assert_allclose(apply(CodePrior(), prior, jnp.asarray(codes, jnp.float32)), expected, rtol=1e-4)


def test_numbers_far_from_the_middle_take_a_finite_number_of_bits_and_are_drawn_back():
    prior = {"middle": jnp.zeros(1), "log_scale": jnp.zeros(1)}
    bits = lambda number: apply(CodePrior(), prior, jnp.full((1, 1, 1, 1), number))[0]  # noqa: E731
    for number in (-1e4, 1e4):
        assert bits(number) == pytest.approx(1e4 / np.log(2), rel=1e-3)
        assert jax.grad(bits)(number) == pytest.approx(np.sign(number) / np.log(2), rel=1e-3)


def test_codes_are_whole_numbers_and_in_training_the_unrounded_ones_with_noise_of_a_step(encode, params, images):
    answers = likely([0, 1, 0, 1])
    whole = encode(params, images, answers)
    np.testing.assert_array_equal(whole, np.round(whole))
    assert len(np.unique(whole)) > 5
    noisy = np.stack([encode(params, images, answers, jax.random.key(seed)) for seed in range(200)])
    spread = noisy.max(0) - noisy.min(0)
    assert (spread <= 1.0).all()
    assert (spread > 0.9).all()
    middle = (noisy.max(0) + noisy.min(0)) / 2
    near_edge = np.abs(middle - np.floor(middle) - 0.5) < 0.05
    np.testing.assert_array_equal(whole[~near_edge], np.round(middle)[~near_edge])


def test_the_code_is_shifted_and_scaled_by_what_the_classifier_says_and_not_where_it_says_nothing(
    encode, params, images
):
    key = jax.random.key(2)
    plain = encode(params, images, likely([0, 0, 0, 0]), key)
    np.testing.assert_allclose(encode(params, images, likely([1, 1, 1, 1]), key), plain, atol=1e-5)  # untrained
    told = jax.tree.map(jnp.copy, params)
    kernel = told["individual_encoder"]["answer"]["kernel"]
    places = kernel.shape[1] // 2 // 2  # of two channels
    of_one = jnp.tile(jnp.asarray([1.0, 0.0, 0.0, 3.0]), places)  # the first channel is doubled, the second moved by 3
    told["individual_encoder"]["answer"]["kernel"] = kernel.at[1].set(of_one)
    noise = np.asarray(encode(jax.tree.map(jnp.zeros_like, params), images, likely([0] * 4), key))
    found = encode(told, images, likely([0, 1, 0, 1]), key)
    np.testing.assert_allclose(found[::2], plain[::2], atol=1e-5)
    np.testing.assert_allclose((found - noise)[1::2, ..., 0], 2 * (plain - noise)[1::2, ..., 0], atol=1e-4)
    np.testing.assert_allclose(found[1::2, ..., 1], plain[1::2, ..., 1] + 3.0, atol=1e-4)
    silent = likely([0, 1, 0, 1]).at[1].set(jnp.nan)
    np.testing.assert_allclose(encode(told, images, silent, key)[1], plain[1], atol=1e-5)


def test_bits_of_a_batch_are_those_of_its_codes_and_their_gradient_reaches_the_encoder(model, params, images):
    predict = lambda images: jnp.broadcast_to(jnp.asarray([0.2, 0.8]), (len(images), 2))  # noqa: E731
    networks = Networks(model, make_discriminator(2), predict, (8, 8))
    weights, key = UNWEIGHTED.replace(bits=1.0), jax.random.key(3)

    @jax.jit
    def bits(params):
        made = generate(networks, weights, params, images, key, swap=False)
        return made.bits.sum(), (made.bits, made.individual_code)

    (_, (found, codes)), gradient = jax.value_and_grad(bits, has_aux=True)(params)
    np.testing.assert_allclose(found, apply(model, params, codes, method="code_bits"), rtol=1e-5)
    for part in ("individual_encoder", "code_prior"):
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient[part]))
    assert jax.eval_shape(lambda p: generate(networks, UNWEIGHTED, p, images, key, swap=False), params).bits is None


def test_what_rounding_needs_is_asked_for():
    config = presets.default()
    config.data.name = "digits.npz"
    config.model.individual_code_rounded = False
    config.loss.bits = 0.01
    with pytest.raises(ConfigError, match=r"^loss\.bits counts the bits of rounded codes"):
        check_settings(config)
    config.model.update(individual_code_rounded=True, individual_code_channels=0)
    with pytest.raises(ConfigError, match=r"set model\.individual_code_channels to how many channels it has"):
        check_model(config, (28, 28, 1))
    config = presets.official()
    config.model.individual_answers = True
    assert asked_in_steps(config) == ["model.individual_answers"]
