"""Residuals folded into the channels of individual codes and back."""

import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.explaining.residuals import add_residual, split_residual


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 3), (5, 9, 2), (3, 2, 1)])
def test_what_is_appended_comes_back(shape):
    rng = np.random.default_rng(0)
    codes, residuals = rng.normal(size=(3, 4, 4, 6)), rng.normal(size=(3, *shape))
    together = add_residual(codes, residuals)
    assert together.shape[:3] == (3, 4, 4)
    apart, back = split_residual(jnp.asarray(together), 6, shape)
    np.testing.assert_allclose(apart, codes, rtol=1e-6)
    np.testing.assert_allclose(back, residuals, rtol=1e-6)


def test_codes_alone_have_no_residual():
    codes = jnp.ones((2, 4, 4, 6))
    apart, nothing = split_residual(codes, 6, (28, 28, 1))
    np.testing.assert_array_equal(apart, codes)
    assert nothing is None
