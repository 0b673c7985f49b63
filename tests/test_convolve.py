"""The forms of a convolution, against XLA's own, with their gradients of first and second order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.models.convolve import MANY_CHANNELS, convolve, direct_convolve, product_convolve
from cae_jax.models.products import convolve_in_blocks, patch_convolve, tap_convolve
from cae_jax.models.winograd import winograd_convolve

MANY = MANY_CHANNELS


def draw(shape, kernel, seed=0):
    """An input of size 1 and a kernel that gives outputs of about size 1."""
    rng = np.random.default_rng(seed)
    x, weights = rng.normal(size=shape), rng.normal(size=kernel) / np.sqrt(np.prod(kernel[:3]))
    return jnp.asarray(x, jnp.float32), jnp.asarray(weights, jnp.float32)


def weighted(form):
    """A number that depends on every output, for gradients."""
    return lambda x, kernel: jnp.sin(form(x, kernel)).sum()


def check(form, plain, x, kernel):
    """Outputs and gradients are those of the plain convolution, up to rounding."""

    @jax.jit  # as one: to compile takes longer than to compute
    def both(*arrays):
        return [(f(*arrays), jax.grad(weighted(f), argnums=(0, 1))(*arrays)) for f in (form, plain)]

    (ours, our_gradients), (theirs, their_gradients) = both(x, kernel)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for fast, slow in zip(our_gradients, their_gradients, strict=True):
        np.testing.assert_allclose(fast, slow, atol=2e-5 * np.abs(slow).max())


@pytest.mark.parametrize("size", [(3, 3), (4, 4), (3, 6), (7, 5), (8, 10)])
@pytest.mark.parametrize("side", [2, 3])
def test_minimal_filtering_equals_the_plain_convolution(side, size):
    check(winograd_convolve, direct_convolve, *draw((2, *size, 5), (side, side, 5, 4)))


@pytest.mark.parametrize("kernel", [(1, 1), (1, 5), (3, 3), (4, 4)])
@pytest.mark.parametrize("form", [patch_convolve, tap_convolve])
def test_one_product_equals_the_plain_convolution(form, kernel):
    check(form, direct_convolve, *draw((2, 6, 7, 5), (*kernel, 5, 3)))


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (3, 1), (4, 1), (7, 1), (1, 2), (3, 2), (4, 2), (5, 2)])
@pytest.mark.parametrize("size", [(8, 8), (7, 10), (11, 9)])
def test_pixels_in_blocks_give_the_plain_convolution(size, side, stride):
    plain = lambda x, kernel: direct_convolve(x, kernel, stride)  # noqa: E731
    form = lambda x, kernel: convolve_in_blocks(x, kernel, stride, patch_convolve)  # noqa: E731
    check(form, plain, *draw((2, *size, 3), (side, side, 3, 2)))


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [
        ((7, 7, 1, MANY), 1),
        ((7, 7, MANY, 3), 1),
        ((4, 4, 3, MANY), 2),
        ((4, 4, MANY, 2 * MANY), 2),
        ((3, 3, MANY, MANY), 1),
        ((3, 3, MANY - 1, MANY), 1),
        ((3, 3, MANY, MANY - 1), 1),
        ((1, 1, MANY, 8), 1),
        ((1, 5, MANY, MANY), 1),
        ((5, 1, MANY, MANY), 1),
    ],
)
@pytest.mark.parametrize("size", [(7, 7), (8, 10), (9, 8)])
def test_the_form_chosen_on_a_cpu_is_right_for_every_layer(size, kernel, stride):
    plain = lambda x, kernel: direct_convolve(x, kernel, stride)  # noqa: E731
    arrays = draw((2, *size, kernel[2]), kernel)
    check(lambda x, kernel: product_convolve(x, kernel, stride), plain, *arrays)
    chosen = jax.jit(lambda x, kernel: convolve(x, kernel, stride))(*arrays)
    np.testing.assert_allclose(chosen, plain(*arrays), atol=1e-5)


def test_the_gradient_of_a_gradient_is_that_of_the_plain_convolution():
    x, kernel = draw((2, 6, 6, MANY), (3, 3, MANY, MANY))

    def penalty(form):
        gradient = jax.grad(weighted(form))
        return jax.jit(jax.grad(lambda kernel: jnp.square(gradient(x, kernel)).mean()))(kernel)

    ours, theirs = penalty(convolve), penalty(direct_convolve)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_low_precision_is_left_to_xla():
    x, kernel = (array.astype(jnp.bfloat16) for array in draw((1, 6, 6, MANY), (3, 3, MANY, MANY)))
    assert "conv_general_dilated" in str(jax.make_jaxpr(convolve)(x, kernel))
    assert "platform_index" not in str(jax.make_jaxpr(convolve)(x, kernel))


def test_other_platforms_than_a_cpu_compute_the_plain_convolution():
    arrays = draw((1, 6, 6, MANY), (3, 3, MANY, MANY))
    exported = {
        name: jax.export.export(jax.jit(convolve), platforms=[name])(*arrays).mlir_module() for name in ("cpu", "cuda")
    }
    assert "stablehlo.convolution" in exported["cuda"]
    assert "stablehlo.convolution" not in exported["cpu"]
