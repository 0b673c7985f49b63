"""What a reconstruction lacks, carried along with an individual code: part of the individual, not of the class."""

import jax
import jax.numpy as jnp


def _block(size: tuple[int, int], cells: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // cells[0]), -(-size[1] // cells[1])


def add_residual(individual_codes: jax.Array, residuals: jax.Array) -> jax.Array:
    """Appends residuals `[N, height, width, C]` to individual codes `[N, h, w, code]` as more channels.

    Returns:
        `[N, h, w, code + C · rows · columns]`, where each cell of the code holds a block of rows × columns pixels.
    """
    count, height, width, channels = residuals.shape
    h, w = individual_codes.shape[1:3]
    rows, columns = _block((height, width), (h, w))
    padded = jnp.pad(residuals, ((0, 0), (0, h * rows - height), (0, w * columns - width), (0, 0)))
    blocks = padded.reshape(count, h, rows, w, columns, channels).swapaxes(2, 3)
    return jnp.concatenate([individual_codes, blocks.reshape(count, h, w, -1)], axis=-1)


def split_residual(individual_codes: jax.Array, image_shape: tuple[int, int, int]) -> tuple[jax.Array, jax.Array]:
    """Undoes `add_residual`: the codes, and the residuals.

    Args:
        individual_codes: with residuals.
        image_shape: height, width and channels of the residuals.
    """
    height, width, channels = image_shape
    count, h, w, both = individual_codes.shape
    rows, columns = _block((height, width), (h, w))
    own = both - rows * columns * channels
    blocks = individual_codes[..., own:].reshape(count, h, w, rows, columns, channels)
    whole = blocks.swapaxes(2, 3).reshape(count, h * rows, w * columns, channels)
    return individual_codes[..., :own], whole[:, :height, :width]
