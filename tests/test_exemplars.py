"""Exemplars that go along with individual codes, and models that keep them in swaps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published import draw_params, make_cae
from scipy.ndimage import uniform_filter

from cae_jax.data.sources import ArraySource
from cae_jax.models import Individual, add_detail, draw_on, make_codec
from cae_jax.training.evaluation import Evaluator, make_functions

MODEL = make_cae(
    channels=1,
    width=2,
    class_width=2,
    class_downsamplings=2,
    individual_code_channels=3,
    residual_blocks=1,
    mlp_width=8,
    output_kernel=3,
)


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 3), (5, 9, 1), (6, 5, 1)])
def test_what_goes_along_are_the_images_and_what_the_decoder_draws_of_them(shape):
    model = MODEL.clone(channels=shape[-1])
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(3, *shape)), jnp.float32)
    params = draw_params(model, 0, jnp.zeros((1, 8, 8, shape[-1])))
    encode, decode = make_codec(model, shape[:2])
    encode, decode = jax.jit(encode, static_argnames="keep"), jax.jit(decode)
    alone, class_codes = encode(params, images)
    together, same = encode(params, images, keep=True)
    assert alone == Individual(alone.code)
    expected = (alone.code, images, decode(params, alone, class_codes), class_codes)
    assert together.fixed is None
    for back, sent in zip((*together[:3], same), expected, strict=True):
        np.testing.assert_allclose(back, sent, atol=1e-6)


@pytest.mark.parametrize("span", [1.0, 2.0])
def test_exemplars_stay_where_the_class_code_changed_nothing(span):
    rng = np.random.default_rng(0)
    base, exemplars, changes = span * rng.uniform(-0.1, 0.1, size=(3, 2, 9, 12, 3))
    changes[:, :, 6:] = 0.0
    made = draw_on(*map(jnp.asarray, (exemplars, base, base + changes)), span=span)
    size = uniform_filter(np.abs(changes).mean(-1) / span, (0, 5, 5), mode="constant")
    size /= uniform_filter(np.ones_like(size), (0, 5, 5), mode="constant")  # at borders, over what is in the image
    kept = np.exp(-np.square(size / 0.05))[..., None]
    np.testing.assert_allclose(made, kept * exemplars + (1 - kept) * (base + changes), atol=1e-6)
    np.testing.assert_allclose(made[:, :, 8:], exemplars[:, :, 8:], atol=1e-6)


@pytest.mark.parametrize("span", [1.0, 2.0])
def test_detail_that_the_drawing_lacks_is_added_to_every_change_and_fades_where_it_is_large(span):
    rng = np.random.default_rng(0)
    base, exemplars, changes = span * rng.uniform(0.1, 0.3, size=(3, 2, 9, 12, 3))
    changes[:, :, :6] = 0.001 * span
    made = add_detail(*map(jnp.asarray, (exemplars, base, base + changes)), span=span)
    np.testing.assert_allclose(made[:, :, :4], exemplars[:, :, :4] + 0.001 * span, atol=1e-4 * span)
    size = uniform_filter(np.abs(changes).mean(-1) / span, (0, 5, 5), mode="constant")
    size /= uniform_filter(np.ones_like(size), (0, 5, 5), mode="constant")  # at borders, over what is in the image
    kept = np.exp(-np.square(size / 0.05))[..., None]
    expected = (base + changes + kept * (exemplars - base)).clip(1.0 - span, 1.0)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    beyond = add_detail(*map(jnp.asarray, (exemplars + span, base, base)), span=span)
    assert float(beyond.max()) == 1.0


def test_of_a_model_that_keeps_exemplars_an_images_own_codes_give_it_back():
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 10, 13, 1)), jnp.float32)
    params = jax.jit(MODEL.init)(jax.random.key(0), jnp.zeros((1, 12, 16, 1)))["params"]
    encode, decode = make_codec(MODEL, (10, 13))
    individual, class_codes = jax.jit(encode, static_argnames="keep")(params, images, keep=True)
    np.testing.assert_allclose(decode(params, individual, class_codes), images, atol=1e-6)
    plain, _ = jax.jit(encode)(params, images)
    drawn, base = decode(params, plain, class_codes + 1.0), decode(params, plain, class_codes)
    swap = decode(params, individual, class_codes + 1.0)
    assert float(jnp.abs(drawn - base).max()) > 1e-3
    np.testing.assert_allclose(swap, draw_on(images, base, drawn), atol=1e-6)


def test_leakage_is_of_what_the_encoder_says_not_of_exemplars_carried_along():
    rng = np.random.default_rng(0)
    labels = np.arange(24, dtype=np.int32) % 2
    bright = rng.integers(0, 100, size=(24, 16, 16, 1)) + 100 * labels[:, None, None, None]
    source = ArraySource(bright.astype(np.uint8), labels)
    params = jax.jit(MODEL.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 1)))["params"]

    def predict(images):
        share = images.mean((1, 2, 3))
        return jnp.stack([1.0 - share, share], -1)

    def scores(residual):
        functions = make_functions(MODEL, (16, 16), predict, predict, residual)
        return Evaluator(functions, source, labels, source, labels, seed=0).evaluate(params, 50)

    kept, plain = scores("exemplar"), scores("")
    leakage = [name for name in plain if name.startswith("individual_code_leakage")]
    assert len(leakage) == 8
    assert {name: kept[name] for name in leakage} == {name: plain[name] for name in leakage}
    assert kept["swap_probability"] != plain["swap_probability"]
