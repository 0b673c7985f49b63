"""The decoder's upsampling convolution, computed at low resolution."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from cae_jax.models.convolve import convolve
from cae_jax.models.layers import he_normal, reflect_along


@functools.cache
def _fold(kernel: int) -> np.ndarray:
    """`[2, 3, kernel]` zeros and ones: which high-resolution taps fall on which low-resolution neighbour, per phase."""
    half = kernel // 2
    fold = np.zeros((2, 3, kernel), np.float32)
    for phase in range(2):
        for tap in range(kernel):
            fold[phase, (phase + tap - half) // 2 + 1, tap] = 1.0
    return fold


def _in_three(x: jax.Array, axis: int) -> Sequence[jax.Array]:
    """The first row or column, those between, the last: parts whose gradients are put together again."""
    return lax.split(x, (1, x.shape[axis] - 2, 1), axis)


def _repeat_edges(x: jax.Array, axis: int) -> jax.Array:
    first, between, last = _in_three(x, axis)
    return lax.concatenate([first, first, between, last, last], axis)


def _add_to_edges(x: jax.Array, to_first: jax.Array, to_last: jax.Array, axis: int) -> jax.Array:
    first, between, last = _in_three(x, axis)
    return lax.concatenate([first + to_first, between, last + to_last], axis)


def _border_rows(x: jax.Array, kernel: jax.Array, pad: Callable[[jax.Array], jax.Array]) -> tuple[jax.Array, jax.Array]:
    """What reflection adds to edge padding in the first and in the last output row; `pad` pads the columns by two."""
    line = lambda step: pad(jnp.repeat(step, 2, axis=2))  # noqa: E731
    first = convolve(line(x[:, 1:2] - x[:, 0:1]), kernel[:1])
    last = convolve(line(x[:, -2:-1] - x[:, -1:]), kernel[-1:])
    return first, last


def upsample_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Equals nearest-neighbour ×2, reflection padding, then a convolution, at a fraction of the operations.

    Every high-resolution tap reads a copy of a low-resolution pixel, so the taps that read the same pixel are added up
    beforehand: one 3×3 convolution at low resolution makes the four output phases as four groups of channels
    (sub-pixel convolution, Shi et al. 2016, arXiv 1609.05158). With edge padding only the outermost output ring of a
    5×5 kernel differs from reflection, by one tap, and is corrected.

    Args:
        x: `[batch, height, width, in]`, height and width at least 2.
        kernel: `[k, k, in, out]` with k = 3 or 5.

    Returns:
        `[batch, 2·height, 2·width, out]`.

    Raises:
        ValueError: for another kernel size.
    """
    size, _, inputs, outputs = kernel.shape
    if size not in (3, 5):
        raise ValueError(f"the upsampling kernel must be 3 or 5 wide, not {size}")
    batch, height, width, _ = x.shape
    fold = jnp.asarray(_fold(size), kernel.dtype)
    phases = jnp.einsum("atk,bsl,klio->tsiabo", fold, fold, kernel).reshape(3, 3, inputs, 4 * outputs)
    y = convolve(_repeat_edges(_repeat_edges(x, 1), 2), phases).reshape(batch, height, width, 2, 2, outputs)
    y = y.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, outputs)
    if size == 5:
        top, bottom = _border_rows(x, kernel, lambda line: reflect_along(line, 2, 2))
        y = _add_to_edges(y, top, bottom, 1)
        # The rows above already reflect in both directions, so the columns must not do so again.
        left, right = _border_rows(
            x.swapaxes(1, 2), kernel.swapaxes(0, 1), lambda line: _repeat_edges(_repeat_edges(line, 2), 2)
        )
        y = _add_to_edges(y, left.swapaxes(1, 2), right.swapaxes(1, 2), 2)
    return y


class UpsampleConv(nn.Module):
    """Nearest-neighbour ×2 and a reflection-padded convolution with bias, in the form of `upsample_convolve`."""

    features: int
    kernel: int = 5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Turns `[batch, height, width, channels]` into `[batch, 2·height, 2·width, features]`."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", he_normal, shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        y = upsample_convolve(x.astype(self.dtype), kernel.astype(self.dtype))
        return y + bias.astype(self.dtype)
