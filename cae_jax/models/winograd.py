"""Convolutions with 2×2 and 3×3 kernels by minimal filtering, with about half the multiplications."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Grid = list[list[jax.Array]]
Matrix = tuple[tuple[float, ...], ...]


class Filtering(NamedTuple):
    """F(2, r) in one dimension: two outputs of a kernel of r numbers from r + 1 products instead of 2r.

    Attributes:
        inputs: matrix of r + 1 inputs to the factors that the products take.
        kernel: matrix of r kernel numbers to the other factors.
        outputs: matrix of r + 1 products to two outputs.
    """

    inputs: Matrix
    kernel: Matrix
    outputs: Matrix


FILTERINGS = {  # by r
    2: Filtering(
        inputs=((1, -1, 0), (0, 1, 0), (0, -1, 1)),
        kernel=((1, 0), (1, 1), (0, 1)),
        outputs=((1, 1, 0), (0, 1, 1)),
    ),
    3: Filtering(
        inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        kernel=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        outputs=((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
}


def _mix(matrix: Matrix, parts: Sequence[jax.Array]) -> list[jax.Array]:
    """Applies a matrix of few numbers to as many arrays as it has columns."""

    def row(factors: tuple[float, ...]) -> jax.Array:
        chosen = [(factor, part) for factor, part in zip(factors, parts, strict=True) if factor]
        scaled = [part if factor == 1 else factor * part for factor, part in chosen]
        return sum(scaled[1:], scaled[0])

    return [row(factors) for factors in matrix]


def _mix_both(matrix: Matrix, grid: Grid) -> Grid:
    """Applies a matrix to the rows and to the columns of a grid of arrays."""
    lines = [_mix(matrix, line) for line in grid]
    columns = [_mix(matrix, column) for column in zip(*lines, strict=True)]
    return [list(line) for line in zip(*columns, strict=True)]


def _split(x: jax.Array, outer: int, inner: int) -> Grid:
    """The parts of an array at each pair of positions of two of its axes.

    Split rather than indexed: of a split, the gradient is put together again; of indices, it is a sum over all parts.
    """
    each = lambda array, axis: lax.split(array, (1,) * array.shape[axis], axis)  # noqa: E731
    return [[part.squeeze((outer, inner)) for part in each(line, inner)] for line in each(x, outer)]


def winograd_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves without padding, by F(2×2, r×r) of Lavin & Gray (2016, arXiv 1509.09308).

    Needs 1.78 (2×2) or 2.25 (3×3) times fewer multiplications, all of them in matrix products, and so do its
    gradients. Rounding errors are two to three times those of the plain sum.

    Args:
        x: `[batch, height, width, in]`.
        kernel: `[r, r, in, out]`, r = 2 or 3.

    Returns:
        `[batch, height - r + 1, width - r + 1, out]`.
    """
    side, _, inputs, outputs = kernel.shape
    filtering = FILTERINGS[side]
    batch, height, width, _ = x.shape
    height, width = height - side + 1, width - side + 1
    rows, columns = -(-height // 2), -(-width // 2)
    # Even sides, large enough for every tile; what is added is used for outputs that are cut off only, or not at all.
    x = jnp.pad(x, ((0, 0), (0, 2 * rows + 2 - x.shape[1]), (0, 2 * columns + 2 - x.shape[2]), (0, 0)))
    phases = _split(x.reshape(batch, x.shape[1] // 2, 2, x.shape[2] // 2, 2, inputs), 2, 4)

    def tile(i: int, j: int) -> jax.Array:
        return phases[i % 2][j % 2][:, i // 2 : i // 2 + rows, j // 2 : j // 2 + columns]

    grid = lambda part: [[part(i, j) for j in range(side + 1)] for i in range(side + 1)]  # noqa: E731
    tiles = _mix_both(filtering.inputs, grid(tile))
    weights = _mix_both(filtering.kernel, _split(kernel, 0, 1))
    products = grid(lambda i, j: tiles[i][j].reshape(-1, inputs) @ weights[i][j])
    results = _mix_both(filtering.outputs, products)
    lines = [
        jnp.concatenate([part.reshape(batch, rows, 1, columns, 1, outputs) for part in line], 4) for line in results
    ]
    y = jnp.concatenate(lines, 2).reshape(batch, 2 * rows, 2 * columns, outputs)
    return y[:, :height, :width]
