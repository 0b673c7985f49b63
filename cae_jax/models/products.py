"""Convolutions as one matrix product, for layers of few channels on one side, and pixels in blocks to help them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

BLOCK = 2


def patch_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves `[batch, height, width, in]` with `[k, l, in, out]` without padding, for few channels in.

    Gathers what every output pixel sees, `k·l·in` numbers, and multiplies once.
    """
    rows, columns, inputs, outputs = kernel.shape
    batch, height, width, _ = x.shape
    height, width = height - rows + 1, width - columns + 1
    taps = [x[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)]
    patches = jnp.concatenate(taps, axis=-1).reshape(-1, rows * columns * inputs)
    return (patches @ kernel.reshape(-1, outputs)).reshape(batch, height, width, outputs)


def tap_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves `[batch, height, width, in]` with `[k, l, in, out]` without padding, for few channels out.

    Multiplies every pixel once by all taps, `k·l·out` numbers, then shifts and adds up what belongs together.
    """
    rows, columns, inputs, outputs = kernel.shape
    batch, height, width, _ = x.shape
    products = x.reshape(-1, inputs) @ kernel.transpose(2, 0, 1, 3).reshape(inputs, -1)
    taps = jnp.split(products.reshape(batch, height, width, -1), rows * columns, axis=-1)
    height, width = height - rows + 1, width - columns + 1
    total = jnp.zeros((batch, height, width, outputs), products.dtype)
    for i in range(rows):
        for j in range(columns):
            total += taps[i * columns + j][:, i : i + height, j : j + width]
    return total


def _in_blocks(x: jax.Array, rows: int, columns: int) -> jax.Array:
    """Moves blocks of 2×2 pixels into the channels: `[batch, height, width, c]` to `[batch, rows, columns, 4c]`.

    Lacking pixels are zeros, and those too many are left out.
    """
    batch, _, _, channels = x.shape
    x = x[:, : rows * BLOCK, : columns * BLOCK]
    x = jnp.pad(x, ((0, 0), (0, rows * BLOCK - x.shape[1]), (0, columns * BLOCK - x.shape[2]), (0, 0)))
    x = x.reshape(batch, rows, BLOCK, columns, BLOCK, channels).swapaxes(2, 3)
    return x.reshape(batch, rows, columns, BLOCK * BLOCK * channels)


def _out_of_blocks(x: jax.Array) -> jax.Array:
    """`[batch, rows, columns, 4c]` to `[batch, 2·rows, 2·columns, c]`."""
    batch, rows, columns, channels = x.shape
    x = x.reshape(batch, rows, columns, BLOCK, BLOCK, channels // BLOCK**2).swapaxes(2, 3)
    return x.reshape(batch, rows * BLOCK, columns * BLOCK, channels // BLOCK**2)


def _kernel_in_blocks(kernel: jax.Array, stride: int) -> jax.Array:
    """The kernel `[m, m, 4·in, (2/stride)²·out]` between pixels in blocks that `[k, k, in, out]` is between pixels."""
    side, _, inputs, outputs = kernel.shape
    phases = BLOCK // stride
    blocks = -(-(side + phases - 1) // BLOCK)
    edge = lambda i: (i, blocks * BLOCK - side - i)  # noqa: E731
    shifted = [[jnp.pad(kernel, (edge(i), edge(j), (0, 0), (0, 0))) for j in range(phases)] for i in range(phases)]
    taps = jnp.stack([jnp.stack(line, axis=2) for line in shifted], axis=2)  # [2m, 2m, phase, phase, in, out]
    taps = taps.reshape(blocks, BLOCK, blocks, BLOCK, phases, phases, inputs, outputs)
    return taps.transpose(0, 2, 1, 3, 6, 4, 5, 7).reshape(blocks, blocks, BLOCK**2 * inputs, phases**2 * outputs)


def convolve_in_blocks(
    x: jax.Array, kernel: jax.Array, stride: int, convolve: Callable[[jax.Array, jax.Array], jax.Array]
) -> jax.Array:
    """Convolves by way of blocks of 2×2 pixels (space to depth).

    A large kernel has a quarter of the positions, of four times the channels; and one of stride 2 is one of stride 1.

    Args:
        x: `[batch, height, width, in]`.
        kernel: `[k, k, in, out]`.
        stride: 1 or 2.
        convolve: convolution of stride 1, which is left to compute.

    Returns:
        `[batch, (height - k) // stride + 1, (width - k) // stride + 1, out]`.
    """
    height, width = ((side - kernel.shape[0]) // stride + 1 for side in x.shape[1:3])
    blocks = _kernel_in_blocks(kernel, stride)
    rows, columns = (-(-side * stride // BLOCK) + len(blocks) - 1 for side in (height, width))
    y = convolve(_in_blocks(x, rows, columns), blocks)
    return (_out_of_blocks(y) if stride == 1 else y)[:, :height, :width]
