"""A convolution to very few channels, computed as one matrix product."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from cae_jax.models.layers import he_normal, reflect_pad


def narrow_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Equals a convolution without padding, the faster the fewer its output channels.

    A convolution gathers `k·k·in` numbers for every output pixel, however few channels it makes of them. Here every
    pixel is multiplied once by all taps, and what belongs together is shifted and added up.

    Args:
        x: `[batch, height, width, in]`.
        kernel: `[k, k, in, out]`.

    Returns:
        `[batch, height - k + 1, width - k + 1, out]`.
    """
    side, _, inputs, outputs = kernel.shape
    batch, rows, columns, _ = x.shape
    height, width = rows - side + 1, columns - side + 1
    taps = (x.reshape(-1, inputs) @ kernel.transpose(2, 0, 1, 3).reshape(inputs, -1)).reshape(batch, rows, columns, -1)
    total = jnp.zeros((batch, height, width, outputs), taps.dtype)
    for i in range(side):
        for j in range(side):
            tap = (i * side + j) * outputs
            total += taps[:, i : i + height, j : j + width, tap : tap + outputs]
    return total


class NarrowConv(nn.Module):
    """A reflection-padded convolution with bias that keeps the size, in the form of `narrow_convolve`."""

    features: int
    kernel: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves `[batch, height, width, channels]`."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", he_normal, shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        x = reflect_pad(x.astype(self.dtype), self.kernel // 2)
        return narrow_convolve(x, kernel.astype(self.dtype)) + bias.astype(self.dtype)
