"""A loss without parameters that drives the class out of codes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

WIDTHS = (1.0, 0.5, 0.25)  # of the kernels, in mean squared distances of the batch


def _centred(k: Float[Array, "batch batch"]) -> Float[Array, "batch batch"]:
    """Takes the part away that rows and columns have in common; `k` and the result have a diagonal of 0."""
    n = k.shape[0]
    sums = k.sum(0)
    centred = k - (sums[:, None] + sums[None, :]) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    return centred * (1.0 - jnp.eye(n, dtype=k.dtype))


def _unbiased_hsic(k: Float[Array, "batch batch"], m: Float[Array, "batch batch"]) -> Float[Array, ""]:
    """The unbiased estimate of Song et al. (JMLR 2012) from two kernel matrices whose diagonals are 0.

    As a product of centred matrices (Székely and Rizzo 2014, arXiv 1310.2926): as a difference of sums it would be
    rounded as these are, to 4e-6 of a correlation in float32 instead of 2e-7.
    """
    n = k.shape[0]
    return jnp.sum(_centred(k) * _centred(m)) / (n * (n - 3))


def dependence_loss(codes: Float[Array, "batch ..."], labels: Int[Array, " batch"]) -> Float[Array, " batch"]:
    """How far codes depend on labels: the Hilbert-Schmidt independence criterion as a correlation, at most about 1.

    It is one number of the whole batch, returned for every sample.

    Zero in the mean where they are independent (it can be below). The codes' kernel is the mean of Gaussian ones of
    several `WIDTHS`, since a wide one sees little but the means of the classes; the labels' is their equality (Gretton
    et al. 2005; centred alignment: Cortes et al., JMLR 2012).

    Args:
        codes: codes of at least 4 images.
        labels: labels of two classes or more.
    """
    flat = codes.reshape(codes.shape[0], -1)
    # Codes can differ by a ten-thousandth of their size: squares of their common part would leave nothing of that.
    flat -= flat.mean(0, keepdims=True)
    squares = jnp.square(flat).sum(-1)
    distances = squares[:, None] + squares[None, :] - 2.0 * flat @ flat.T
    other = 1.0 - jnp.eye(len(labels), dtype=codes.dtype)
    width = jax.lax.stop_gradient(jnp.maximum((distances * other).sum() / other.sum(), 1e-12))
    k = jnp.stack([jnp.exp(-distances / (share * width)) for share in WIDTHS]).mean(0) * other
    m = (labels[:, None] == labels[None, :]).astype(codes.dtype) * other
    scale = jnp.maximum(_unbiased_hsic(k, k) * _unbiased_hsic(m, m), 1e-12)
    return jnp.broadcast_to(_unbiased_hsic(k, m) * jax.lax.rsqrt(scale), labels.shape)
