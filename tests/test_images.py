"""Ranges and padding of images, there and back, and computing in batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.batching import map_batches
from cae_jax.images import from_model, padded_side, to_model, to_uint8, to_unit


@pytest.mark.parametrize(
    ("side", "stride", "padded"), [(28, 8, 32), (32, 8, 32), (1, 16, 16), (33, 1, 33), (17, 16, 32)]
)
def test_a_padded_side_is_the_next_multiple(side, stride, padded):
    assert padded_side(side, stride) == padded


FLOATS = [jnp.float32, jnp.bfloat16, jnp.float16]


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_pass_as_float32(dtype):
    unit = to_unit(jnp.asarray([0.0, 0.5, 1.0], dtype))
    assert unit.dtype == jnp.float32
    np.testing.assert_array_equal(unit, [0.0, 0.5, 1.0])


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("dtype", FLOATS[1:])
def test_short_floats_pass_as_float32_without_implicit_promotion(dtype):
    assert to_unit(jnp.asarray([0.0, 0.5, 1.0], dtype)).dtype == jnp.float32


@pytest.mark.usefixtures("strict")
def test_uint8_becomes_zero_to_one_and_comes_back():
    levels = np.arange(256, dtype=np.uint8)
    unit = to_unit(jnp.asarray(levels))
    np.testing.assert_allclose(unit, np.arange(256) / 255, atol=1e-7)
    np.testing.assert_array_equal(to_uint8(np.asarray(unit)), levels)


def test_uint8_rounds_and_clips():
    np.testing.assert_array_equal(to_uint8(np.asarray([-1.0, 0.001, 0.003, 0.999, 7.0])), [0, 0, 1, 255, 255])


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("size", [(28, 28), (5, 8), (9, 3)])
@pytest.mark.parametrize("leading", [(2,), (3, 2)])
def test_images_are_padded_with_their_edges_and_come_back(size, leading):
    images = np.random.default_rng(0).random((*leading, *size, 2)).astype(np.float32)
    padded = to_model(jnp.asarray(images), 8)
    height, width = (-(-side // 8) * 8 for side in size)
    assert padded.shape == (*leading, height, width, 2)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    rows = np.clip(np.arange(height) - top, 0, size[0] - 1)
    columns = np.clip(np.arange(width) - left, 0, size[1] - 1)
    np.testing.assert_allclose(padded, (2 * images - 1)[..., rows[:, None], columns, :], atol=1e-6)
    np.testing.assert_allclose(from_model(padded, size), images, atol=1e-6)


@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_batches_are_of_one_shape_and_no_row_is_lost_or_doubled(count):
    shapes = []

    @jax.jit
    def function(x, y):
        shapes.append(x.shape)
        return {"sum": x + y, "pair": (x * 2, y)}

    x = np.arange(count, dtype=np.float32)
    result = map_batches(function, x, 10 * x, batch_size=4)
    np.testing.assert_array_equal(result["sum"], 11 * x)
    np.testing.assert_array_equal(result["pair"][0], 2 * x)
    assert shapes == [(4,)]
    assert isinstance(result["sum"], np.ndarray)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        map_batches(lambda x: x, np.zeros((0, 2)))
