"""The networks: shapes, ranges, the norms against numpy, and the fast upsampling against the published form."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published import draw_params, make_cae, make_discriminator
from scipy.ndimage import correlate1d

from cae_jax.models import apply
from cae_jax.models.convolve import convolve
from cae_jax.models.layers import (
    SampleLayerNorm,
    adaptive_instance_norm,
    from_blocks,
    instance_norm,
    reflect_pad,
    smooth,
    to_blocks,
)
from cae_jax.models.upsample import UpsampleConv, upsample_convolve

SIZES = ((2, 2), (3, 3), (5, 4), (7, 2))
TINY = {
    "width": 4,
    "class_width": 4,
    "class_code_size": 5,
    "class_downsamplings": 2,
    "individual_downsamplings": 1,
    "residual_blocks": 1,
    "mlp_width": 8,
    "stem_kernel": 3,
    "output_kernel": 3,
}


def naive_upsample(x, kernel):
    """Repeats, reflects and convolves pixel by pixel, in float64."""
    high = np.asarray(x, np.float64).repeat(2, axis=1).repeat(2, axis=2)
    half = kernel.shape[0] // 2
    padded = np.pad(high, ((0, 0), (half, half), (half, half), (0, 0)), mode="reflect")
    result = np.zeros((*high.shape[:3], kernel.shape[3]))
    for row, column in itertools.product(range(kernel.shape[0]), repeat=2):
        window = padded[:, row : row + high.shape[1], column : column + high.shape[2]]
        result += window @ np.asarray(kernel[row, column], np.float64)
    return result


def random_upsampling(size, kernel, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(rng.normal(size=(kernel, kernel, 3, 2)), jnp.float32)


def as_published(x, kernel):
    """What `upsample_convolve` computes, as the published code does."""
    high = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return convolve(reflect_pad(high, kernel.shape[0] // 2), kernel)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_upsampling_equals_the_published_form_everywhere(size, kernel):
    x, weights = random_upsampling(size, kernel)
    fast, plain = (jax.jit(function)(x, weights) for function in (upsample_convolve, as_published))
    expected = naive_upsample(x, weights)
    assert fast.shape == (2, 2 * size[0], 2 * size[1], 2)
    np.testing.assert_allclose(fast, expected, atol=2e-5, rtol=1e-5)
    np.testing.assert_allclose(plain, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(2, 2), (3, 4)])
def test_upsampling_has_the_gradients_of_the_published_form(size, kernel):
    x, weights = random_upsampling(size, kernel)
    cotangent = np.random.default_rng(1).normal(size=(2, 2 * size[0], 2 * size[1], 2)).astype(np.float32)

    def gradients(function):
        return jax.jit(jax.grad(lambda x, w: (function(x, w) * cotangent).sum(), argnums=(0, 1)))(x, weights)

    for fast, plain in zip(gradients(upsample_convolve), gradients(as_published), strict=True):
        np.testing.assert_allclose(fast, plain, atol=1e-4, rtol=1e-5)


def test_upsample_conv_adds_its_bias_to_the_published_form():
    x, weights = random_upsampling((3, 4), 5)
    bias = np.asarray([0.5, -2.0], np.float32)
    result = UpsampleConv(2, 5).apply({"params": {"kernel": weights, "bias": bias}}, x)
    np.testing.assert_allclose(result, naive_upsample(x, weights) + bias, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kernel", [1, 7])
def test_other_upsampling_kernels_are_refused(kernel):
    with pytest.raises(ValueError, match=f"3 or 5 wide, not {kernel}"):
        upsample_convolve(jnp.zeros((1, 8, 8, 1)), jnp.zeros((kernel, kernel, 1, 1)))


def test_instance_norm_uses_the_biased_variance_of_each_channel():
    x = np.random.default_rng(0).normal(3.0, 0.01, (2, 3, 4, 5)).astype(np.float32)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean((1, 2), keepdims=True)) / np.sqrt(wide.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(instance_norm(jnp.asarray(x)), expected, atol=1e-3)
    scale, bias = np.arange(10.0).reshape(2, 5).astype(np.float32), np.ones((2, 5), np.float32)
    adapted = adaptive_instance_norm(jnp.asarray(x), jnp.asarray(scale), jnp.asarray(bias))
    np.testing.assert_allclose(adapted, expected * scale[:, None, None] + 1.0, atol=1e-2)


def test_layer_norm_divides_by_unbiased_deviation_plus_eps():
    # So small a spread that eps inside the root, or the biased deviation, would show.
    x = np.random.default_rng(0).normal(0.0, 2e-5, (2, 2, 3, 2)).astype(np.float32)
    scale, bias = np.asarray([2.0, -1.0], np.float32), np.asarray([0.25, 0.5], np.float32)
    wide = x.astype(np.float64)
    deviation = wide.std((1, 2, 3), keepdims=True, ddof=1)
    expected = (wide - wide.mean((1, 2, 3), keepdims=True)) / (deviation + 1e-5) * scale + bias
    result = SampleLayerNorm().apply({"params": {"scale": scale, "bias": bias}}, jnp.asarray(x))
    np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [1, 2, 3])
def test_blocks_of_pixels_become_channels_and_pixels_again(side, channels):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2 * side, 3 * side, channels)), jnp.float32)
    blocks = to_blocks(x, side)
    assert blocks.shape == (2, 2, 3, side * side * channels)
    second = x[1, side : 2 * side, 2 * side : 3 * side]
    np.testing.assert_array_equal(blocks[1, 1, 2], second.reshape(-1))
    np.testing.assert_array_equal(from_blocks(blocks, side), x)


def test_smoothing_leaves_nothing_of_a_chequerboard_and_all_of_a_plain():
    rows, columns = np.mgrid[:6, :7]
    board = jnp.asarray((-1.0) ** (rows + columns), jnp.float32)[None, ..., None]
    np.testing.assert_allclose(smooth(board), 0.0, atol=1e-6)
    stripes = jnp.asarray((-1.0) ** columns, jnp.float32)[None, ..., None]
    np.testing.assert_allclose(smooth(stripes), 0.0, atol=1e-6)
    np.testing.assert_allclose(smooth(jnp.full((1, 5, 4, 2), 0.3)), 0.3, atol=1e-6)
    x = np.random.default_rng(0).normal(size=(1, 6, 7, 1))
    expected = correlate1d(correlate1d(x, [0.25, 0.5, 0.25], 1, mode="mirror"), [0.25, 0.5, 0.25], 2, mode="mirror")
    np.testing.assert_allclose(smooth(jnp.asarray(x, jnp.float32)), expected, atol=1e-6)


def compiled(module, method="__call__"):
    """A method of a module as a function of variables and inputs, compiled as one."""
    return jax.jit(functools.partial(module.apply, method=method))


def test_a_model_of_blocks_sees_them_draws_them_and_smooths_what_it_drew():
    sizes = TINY | {"class_downsamplings": 1}
    model = make_cae(1, **sizes, block=2)
    assert model.stride == 4
    images = jnp.asarray(np.random.default_rng(0).uniform(-1.0, 1.0, (2, 8, 12, 1)), jnp.float32)
    variables = {"params": draw_params(model, 0, images)}
    codes = compiled(model, "encode")(variables, images)
    beneath = model.clone(channels=4, block=1)
    expected, _ = compiled(beneath, "encode")(variables, to_blocks(images, 2))
    np.testing.assert_allclose(codes[0], expected, atol=1e-5)
    assert codes[0].shape == (2, 2, 3, 8)
    drawn = compiled(model, "decode")(variables, *codes)
    pixels = from_blocks(compiled(beneath, "decode")(variables, *codes), 2)
    np.testing.assert_allclose(drawn, smooth(pixels), atol=1e-5)
    judge = make_discriminator(3, width=4, downsamplings=1, residual_blocks=0, hidden=8, block=2)
    variables = {"params": draw_params(judge, 0, images)}
    plain = compiled(judge.clone(block=1))(variables, to_blocks(images, 2))
    for ours, expected in zip(compiled(judge)(variables, images), plain, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("head", "bottleneck", "norm"), [(0, 0, "instance"), (6, 0, "layer"), (0, 3, "layer"), (6, 3, "instance")]
)
def test_codes_and_images_have_the_documented_shapes_and_are_float32(channels, head, bottleneck, norm, dtype):
    model = make_cae(
        channels, **TINY, class_head_width=head, individual_code_channels=bottleneck, individual_norm=norm, dtype=dtype
    )
    images = jax.ShapeDtypeStruct((2, 8, 12, channels), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    codes = jax.eval_shape(lambda v, x: model.apply(v, x, method="encode"), variables, images)
    individual_code, class_code = codes
    decoded = jax.eval_shape(lambda v, *codes: model.apply(v, *codes, method="decode"), variables, *codes)
    assert model.stride == 4
    assert individual_code.shape == (2, 4, 6, bottleneck or 8)
    assert class_code.shape == (2, 5)
    assert decoded.shape == images.shape
    for array in (individual_code, class_code, decoded, *jax.tree.leaves(variables)):
        assert array.dtype == jnp.float32


def test_class_codes_are_told_the_classifier_s_answers_where_the_model_says_so():
    images = jax.random.uniform(jax.random.key(1), (3, 8, 8, 1), minval=-1.0)
    plain, told = make_cae(1, **TINY), make_cae(1, **TINY, answers=True)
    assert (plain.answers, told.answers) == (0, 2)
    params = draw_params(told, 0, images)
    kernel = params["class_encoder"]["answer"]["kernel"]
    assert kernel.shape == (2, told.class_code_size)
    answers = jnp.asarray([[1.0, 0.0], [0.3, 0.7], [jnp.nan, 0.5]])
    encode = jax.jit(functools.partial(apply, told, method="encode"))
    individual, code = encode(params, images, answers)
    alone, untold = encode(params, images, jnp.zeros((3, 2)))
    np.testing.assert_array_equal(individual, alone)
    seen = [[1.0, 0.0], 1.0 + np.log([0.301, 0.701]) / np.log(1000.0), [0.0, 0.0]]  # where it has no answer, none
    np.testing.assert_allclose(code - untold, np.asarray(seen) @ kernel, atol=2e-4)
    del params["class_encoder"]["answer"]
    _, expected = jax.jit(functools.partial(apply, plain, method="encode"))(params, images, answers)
    np.testing.assert_allclose(expected, untold, atol=1e-5)


@pytest.fixture(scope="module")
def tiny():
    """A tiny CAE in float32 with random images and its compiled functions."""
    model = make_cae(1, **TINY, class_head_width=6, individual_code_channels=3)
    images = jax.random.uniform(jax.random.key(1), (3, 8, 8, 1), minval=-1.0)
    variables = {"params": draw_params(model, 0, images)}
    encode = jax.jit(lambda x: model.apply(variables, x, method="encode"))
    decode = jax.jit(lambda c, s: model.apply(variables, c, s, method="decode"))
    return encode, decode, images


def test_images_stay_within_minus_one_and_one(tiny):
    encode, decode, images = tiny
    individual_code, class_code = encode(images)
    decoded = np.asarray(decode(100.0 * individual_code, 100.0 * class_code))
    assert np.isfinite(decoded).all()
    assert decoded.min() >= -1.0
    assert decoded.max() <= 1.0


def test_the_class_code_changes_what_is_decoded(tiny):
    encode, decode, images = tiny
    individual_code, class_code = encode(images)
    change = np.abs(decode(individual_code, class_code + 1.0) - decode(individual_code, class_code))
    assert (change.max((1, 2, 3)) > 1e-3).all()


def test_a_bottlenecked_individual_code_has_a_root_mean_square_of_one(tiny):
    individual_code, _ = tiny[0](tiny[2])
    np.testing.assert_allclose(np.sqrt(np.square(individual_code).mean((1, 2, 3))), 1.0, atol=1e-3)


def test_samples_do_not_influence_each_other(tiny):
    encode, decode, images = tiny
    others = images.at[1:].set(-images[1:])
    codes, with_others = encode(images), encode(others)
    for first, second in zip(codes, with_others, strict=True):
        np.testing.assert_allclose(first[0], second[0], atol=1e-6)
        assert np.abs(first[1:] - second[1:]).max() > 1e-3
    np.testing.assert_allclose(decode(*codes)[0], decode(*with_others)[0], atol=1e-6)


def test_bfloat16_computes_about_the_same_images():
    images = jax.random.uniform(jax.random.key(1), (2, 8, 8, 1), minval=-1.0)
    precise, coarse = (make_cae(1, **TINY, dtype=dtype) for dtype in ("float32", "bfloat16"))
    variables = {"params": draw_params(precise, 0, images)}
    reconstructions = jax.jit(precise.apply)(variables, images), jax.jit(coarse.apply)(variables, images)
    assert reconstructions[1].dtype == jnp.float32
    difference = np.abs(reconstructions[0] - reconstructions[1])
    assert difference.max() > 0.0
    assert difference.mean() < 0.1


@pytest.mark.parametrize("pooled", [True, False])
def test_a_discriminator_that_does_not_pool_minds_where_things_are(pooled):
    sizes = {"width": 4, "downsamplings": 2, "residual_blocks": 0, "hidden": 8, "kernel_init": "he"}
    discriminator = make_discriminator(2, pooled=pooled, **sizes)
    blob = np.zeros((1, 32, 32, 1), np.float32)
    blob[:, 12:16, 12:16] = np.random.default_rng(0).normal(size=(4, 4, 1))
    moved = np.roll(blob, (4, 8), axis=(1, 2))
    judge, variables = compiled(discriminator), {"params": draw_params(discriminator, 0, jnp.asarray(blob))}
    (here, _), (there, _), (gone, _) = (judge(variables, jnp.asarray(x)) for x in (blob, moved, 0.0 * blob))
    assert np.abs(here - gone).max() > 1e-3
    assert (np.abs(here - there).max() < 1e-5) == pooled
