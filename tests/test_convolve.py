"""The forms of a 3×3 convolution, against XLA's own, and the decoder that is built of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.models import Decoder, apply
from cae_jax.models.convolve import FEW_CHANNELS, convolve, convolve_forward, row_convolve, winograd_convolve


def draw(shape, outputs, seed=0):
    rng = np.random.default_rng(seed)
    return (
        jnp.asarray(rng.normal(size=shape), jnp.float32),
        jnp.asarray(rng.normal(size=(3, 3, shape[-1], outputs)), jnp.float32),
    )


@pytest.mark.parametrize("shape", [(1, 4, 4, 1), (2, 6, 4, 3), (3, 8, 10, 5)])
@pytest.mark.parametrize("form", [winograd_convolve, row_convolve])
def test_a_form_equals_the_plain_convolution_and_its_gradients(form, shape):
    x, kernel = draw(shape, 4)
    np.testing.assert_allclose(form(x, kernel), convolve(x, kernel), atol=2e-5)
    mix = jnp.cos(jnp.arange(np.prod(shape[:1]) * (shape[1] - 2) * (shape[2] - 2) * 4)).reshape(shape[0], -1)
    total = lambda f: jax.grad(lambda x, k: (f(x, k).reshape(shape[0], -1) * mix).sum(), (0, 1))(x, kernel)  # noqa: E731
    for fast, plain in zip(total(form), total(convolve), strict=True):
        np.testing.assert_allclose(fast, plain, atol=1e-4)


@pytest.mark.parametrize("channels", [FEW_CHANNELS - 1, FEW_CHANNELS])
@pytest.mark.parametrize("size", [(3, 3), (3, 4), (4, 4), (5, 7), (6, 8)])
def test_the_choice_of_a_form_is_right_for_every_size(size, channels):
    x, kernel = draw((2, *size, channels), 3, seed=1)
    np.testing.assert_allclose(jax.jit(convolve_forward)(x, kernel), convolve(x, kernel), atol=1e-4)


def test_another_kernel_than_3_by_3_is_left_to_xla():
    x = jnp.ones((1, 6, 6, 2))
    kernel = jnp.ones((5, 5, 2, 2))
    np.testing.assert_allclose(convolve_forward(x, kernel), convolve(x, kernel))


@pytest.mark.parametrize("side", [2, 3])
def test_a_decoder_that_only_goes_forward_draws_the_same_images(side):
    decoder = Decoder(1, width=16, upsamplings=2, residual_blocks=1, mlp_width=8)
    rng = np.random.default_rng(0)
    codes = jnp.asarray(rng.normal(size=(2, side, side, 64)), jnp.float32), jnp.ones((2, 8))
    params = jax.jit(decoder.init)(jax.random.key(1), *codes)["params"]
    images = [jax.jit(lambda p, d=d: apply(d, p, *codes))(params) for d in (decoder, decoder.clone(forward_only=True))]
    np.testing.assert_allclose(images[1], images[0], atol=1e-4)
