"""3×3 convolutions without padding: the plain one, and forms that a CPU computes faster going forward.

XLA leaves the choice of an algorithm to a GPU's library; on a CPU it has one only, which copies 9 numbers for every
input and, from some size on, does so on one core. The forms here are exact, but their gradients gain nothing and they
take longer to compile: they are for the search, which decodes thousands of images and differentiates none.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

Convolve = Callable[[jax.Array, jax.Array], jax.Array]

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
FEW_CHANNELS = 32  # below it, making tiles takes longer than the products that they save


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves `[batch, height, width, in]` with `[k, l, in, out]`, without padding."""
    return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=DIMENSIONS)


def _kernel_tiles(k: jax.Array | Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    outer, inner = (k[0] + k[2]) / 2, k[1] / 2
    return k[0], outer + inner, outer - inner, k[2]


def _input_tiles(x: jax.Array, axis: int) -> tuple[jax.Array, ...]:
    span = x.shape[axis] - 3
    a, b, c, d = (lax.slice_in_dim(x, i, i + span, 2, axis) for i in range(4))
    return a - c, b + c, c - b, b - d


def _output_pair(m: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]


def winograd_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`convolve` with 2.25 times fewer multiplications: F(2×2, 3×3) of Lavin & Gray (2016, arXiv 1509.09308).

    Args:
        x: `[batch, height, width, in]`, height and width even and at least 4.
        kernel: `[3, 3, in, out]`.

    Returns:
        `[batch, height - 2, width - 2, out]`.
    """
    batch, height, width, inputs = x.shape
    rows, columns, outputs = height // 2 - 1, width // 2 - 1, kernel.shape[-1]
    weights = [_kernel_tiles(line) for line in _kernel_tiles(kernel)]
    tiles = [_input_tiles(line, 2) for line in _input_tiles(x, 1)]
    lines = [
        _output_pair([tile.reshape(-1, inputs) @ weight for tile, weight in zip(*line, strict=True)])
        for line in zip(tiles, weights, strict=True)
    ]
    left, right = (_output_pair(column) for column in zip(*lines, strict=True))
    y = jnp.stack([jnp.stack(pair, axis=1) for pair in zip(left, right, strict=True)])
    y = y.reshape(2, batch, rows, columns, 2, outputs).transpose(1, 2, 0, 3, 4, 5)
    return y.reshape(batch, height - 2, width - 2, outputs)


def row_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`convolve` for few input channels: copies 3 numbers of a row instead of 9, and adds up three rows afterwards.

    Args:
        x: `[batch, height, width, in]`.
        kernel: `[3, 3, in, out]`.

    Returns:
        `[batch, height - 2, width - 2, out]`.
    """
    batch, rows, columns, inputs = x.shape
    height, width, outputs = rows - 2, columns - 2, kernel.shape[-1]
    triples = jnp.concatenate([x[:, :, j : j + width] for j in range(3)], axis=-1)
    taps = triples.reshape(-1, 3 * inputs) @ kernel.transpose(1, 2, 0, 3).reshape(3 * inputs, 3 * outputs)
    taps = taps.reshape(batch, rows, width, 3, outputs)
    return taps[:, :height, :, 0] + taps[:, 1 : 1 + height, :, 1] + taps[:, 2:, :, 2]


def convolve_forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`convolve`, in the form that is fastest forward on the platform that runs it."""
    if kernel.shape[:2] != (3, 3):
        return convolve(x, kernel)
    even = x.shape[1] % 2 == x.shape[2] % 2 == 0 and min(x.shape[1:3]) >= 4
    on_cpu = row_convolve if kernel.shape[2] < FEW_CHANNELS else winograd_convolve if even else convolve
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=convolve)
