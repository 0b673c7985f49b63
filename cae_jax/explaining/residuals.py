"""What a reconstruction lacks, carried along with an individual code: part of the individual, not of the class."""

import jax
import jax.numpy as jnp
import numpy as np


def _block(size: tuple[int, int], cells: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // cells[0]), -(-size[1] // cells[1])


def add_residual(individual_codes: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Appends residuals `[N, height, width, C]` to individual codes `[N, h, w, code]` as more channels.

    Returns:
        `[N, h, w, code + C · rows · columns]`, where each cell of the code holds a block of rows × columns pixels.
    """
    count, height, width, channels = residuals.shape
    h, w = individual_codes.shape[1:3]
    rows, columns = _block((height, width), (h, w))
    padded = np.pad(residuals, ((0, 0), (0, h * rows - height), (0, w * columns - width), (0, 0)))
    blocks = padded.reshape(count, h, rows, w, columns, channels).swapaxes(2, 3)
    return np.concatenate([individual_codes, blocks.reshape(count, h, w, -1)], axis=-1)


def split_residual(
    individual_codes: jax.Array, code_channels: int, image_shape: tuple[int, int, int]
) -> tuple[jax.Array, jax.Array | None]:
    """Undoes `add_residual`: the codes, and the residuals or, where none were appended, None.

    Args:
        individual_codes: with residuals or without.
        code_channels: of the codes alone.
        image_shape: height, width and channels of the residuals.
    """
    codes, rest = individual_codes[..., :code_channels], individual_codes[..., code_channels:]
    if not rest.shape[-1]:
        return codes, None
    height, width, channels = image_shape
    count, h, w = rest.shape[:3]
    rows, columns = _block((height, width), (h, w))
    blocks = rest.reshape(count, h, w, rows, columns, channels)
    whole = jnp.swapaxes(blocks, 2, 3).reshape(count, h * rows, w * columns, channels)
    return codes, whole[:, :height, :width]
