"""Fills: what replaces removed pixels when a saliency map is tested by removing what it marks as relevant."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Fill = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""Takes images `[N, height, width, C]`, a mask of removed pixels, bool `[N, height, width]`, and a PRNG key; returns
the images with those pixels replaced."""


class Removal(NamedTuple):
    """How parts of images are removed.

    Attributes:
        patch: side, in pixels, of the cells that are removed together.
        steps: number of steps in which all cells are removed.
        fills: fills that replace removed cells, by name.
    """

    patch: int
    steps: int
    fills: dict[str, Fill]


Array = jax.Array | np.ndarray

ROUNDS = 300  # conjugate gradient iterations, at most
SOLVED = 1e-12  # squared residual of an image from which on it is solved
NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def spread_cells(cells: Array, patch: int, height: int, width: int) -> jax.Array:
    """Spreads values of square cells over their pixels.

    Args:
        cells: values, `[N, rows, columns]`.
        patch: side of a cell in pixels; cells at the bottom and right edges may be smaller.
        height: height of the images.
        width: width of the images.

    Returns:
        `[N, height, width]`.
    """
    return jnp.repeat(jnp.repeat(cells, patch, axis=1), patch, axis=2)[:, :height, :width]


def mean_fill(colour: np.ndarray) -> Fill:
    """Makes a fill with one colour `[C]`, for instance the mean of the training images."""
    constant = jnp.asarray(colour, jnp.float32)

    def fill(images: jax.Array, removed: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.where(removed[..., None], constant[None, None, None], images)

    return fill


def blur_fill(sigma: float) -> Fill:
    """Makes a fill with the image itself, blurred by a Gaussian of `sigma` pixels; the border repeats edge pixels."""
    reach = max(1, round(3 * sigma))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-np.square(offsets) / (2 * sigma**2))

    def along(side: int) -> np.ndarray:
        """Matrix `[side, side]` that blurs a line of pixels: a product is several times as fast as a convolution."""
        matrix, at = np.zeros((side, side)), np.arange(side)[:, None]
        np.add.at(matrix, (at, np.clip(at + offsets, 0, side - 1)), weights / weights.sum())
        return matrix.astype(np.float32)

    def fill(images: jax.Array, removed: jax.Array, key: jax.Array) -> jax.Array:
        height, width = images.shape[1:3]
        blurred = jnp.einsum("hy,wx,nyxc->nhwc", along(height), along(width), images, precision="highest")
        return jnp.where(removed[..., None], blurred, images)

    return fill


def _neighbour(values: jax.Array, dy: int, dx: int) -> jax.Array:
    """For each pixel of `[N, height, width, C]`, the value of the pixel `(dy, dx)` away; 0 beyond the border."""
    padded = jnp.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = values.shape[1:3]
    return padded[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


def _weighted_neighbours(values: jax.Array) -> jax.Array:
    return sum(_neighbour(values, dy, dx) * (1.0 / 6.0 if dy == 0 or dx == 0 else 1.0 / 12.0) for dy, dx in NEIGHBOURS)  # type: ignore[return-value]


def linear_imputation(images: jax.Array, removed: jax.Array) -> jax.Array:
    """Replaces every removed pixel by the weighted mean of its eight neighbours, removed ones included.

    Direct neighbours weigh 1/6, diagonal ones 1/12; those beyond the border are left out. So the values of all removed
    pixels are the solution of one linear system, symmetric and positive definite; it is solved by conjugate gradients.
    An image without any pixel left becomes 0.

    Args:
        images: `[N, height, width, C]`.
        removed: whether each pixel is removed, bool `[N, height, width]`.
    """
    inside = removed[..., None].astype(images.dtype)
    weight = _weighted_neighbours(jnp.ones_like(images))
    total = lambda x: x.sum((1, 2), keepdims=True)  # noqa: E731

    def apply(values: jax.Array) -> jax.Array:
        return inside * (weight * values - _weighted_neighbours(inside * values))

    known = inside * _weighted_neighbours((1.0 - inside) * images)
    guess = inside * total((1.0 - inside) * images) / jnp.maximum(total((1.0 - inside) * jnp.ones_like(images)), 1.0)
    residual = known - apply(guess)
    start = (guess, residual, residual, total(jnp.square(residual)), jnp.asarray(0))

    def unsolved(state: tuple[jax.Array, ...]) -> jax.Array:
        return (state[4] < ROUNDS) & (state[3].max() > SOLVED)

    def improve(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        values, residual, direction, square, rounds = state
        image = apply(direction)
        curvature = total(direction * image)
        going = (square > SOLVED) & (curvature > 0)  # beyond its solution an image would be carried off by rounding
        length = jnp.where(going, square / jnp.where(going, curvature, 1.0), 0.0)
        values, residual = values + length * direction, residual - length * image
        after = total(jnp.square(residual))
        turn = jnp.where(going, after / jnp.where(going, square, 1.0), 0.0)
        return values, residual, residual + turn * direction, jnp.where(going, after, 0.0), rounds + 1

    solved = jax.lax.while_loop(unsolved, improve, start)[0]
    anything_left = total(1.0 - inside) > 0
    return jnp.where(removed[..., None], jnp.where(anything_left, solved, 0.0), images)


def noisy_linear_imputation(noise: float = 0.01) -> Fill:
    """Makes ROAD's fill (Rong et al., ICML 2022, arXiv 2202.00449): `linear_imputation` plus Gaussian noise.

    Such a fill tells neither the class of the removed region nor, by visible edges, its shape.

    Args:
        noise: standard deviation of the noise.
    """

    def fill(images: jax.Array, removed: jax.Array, key: jax.Array) -> jax.Array:
        smooth = linear_imputation(images, removed)
        return jnp.where(removed[..., None], smooth + noise * jax.random.normal(key, images.shape), images)

    return fill
