"""Exemplars carried along with individual codes, so that images on a path keep what the class code does not change."""

import jax
import jax.numpy as jnp
import numpy as np

WINDOW = 5  # pixels, around each of which changes are averaged
FADING = 0.05  # mean change, in brightness of [0, 1], at which 1/e of the exemplar is left


def draw_on(exemplars: jax.Array, reconstructions: jax.Array, drawn: jax.Array, span: float = 1.0) -> jax.Array:
    """Puts what was drawn where the class code has changed the image, and keeps the exemplar elsewhere.

    The exemplar counts by `exp(-(change / FADING)²)`, where a change's size is averaged over a window and the channels.
    So its details stay, what goes (a finding) goes with its edges, and changes too faint to see do not count.

    Args:
        exemplars: `[N, height, width, C]`.
        reconstructions: images decoded from the exemplars' individual and class codes.
        drawn: images decoded from the same individual codes and other class codes.
        span: difference between white and black: 1 for images in [0, 1], 2 for [-1, 1].

    Returns:
        Images of the same range; where nothing was changed, the exemplars.
    """
    change = jnp.abs(drawn - reconstructions).mean(-1, keepdims=True)
    window, ones = (1, WINDOW, WINDOW, 1), (1, 1, 1, 1)
    total = jax.lax.reduce_window(change, 0.0, jax.lax.add, window, ones, "SAME")
    kept = jnp.exp(-jnp.square(total / (WINDOW**2 * FADING * span)))
    return kept * exemplars + (1.0 - kept) * drawn


def _block(size: tuple[int, int], cells: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // cells[0]), -(-size[1] // cells[1])


def carry_exemplars(
    individual_codes: jax.Array | np.ndarray, exemplars: jax.Array | np.ndarray, reconstructions: jax.Array | np.ndarray
) -> jax.Array:
    """Appends exemplars and their reconstructions, `[N, height, width, C]`, to individual codes `[N, h, w, code]`.

    Returns:
        `[N, h, w, code + 2 C · rows · columns]`, where each cell of the code holds a block of rows × columns pixels.
    """
    both = jnp.concatenate([jnp.asarray(exemplars), jnp.asarray(reconstructions)], axis=-1)
    count, height, width, channels = both.shape
    h, w = individual_codes.shape[1:3]
    rows, columns = _block((height, width), (h, w))
    padded = jnp.pad(both, ((0, 0), (0, h * rows - height), (0, w * columns - width), (0, 0)))
    blocks = padded.reshape(count, h, rows, w, columns, channels).swapaxes(2, 3)
    return jnp.concatenate([jnp.asarray(individual_codes), blocks.reshape(count, h, w, -1)], axis=-1)


def carried_exemplars(
    individual_codes: jax.Array, image_shape: tuple[int, int, int]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Undoes `carry_exemplars`: the codes, the exemplars and the reconstructions.

    Args:
        individual_codes: individual codes that carry exemplars.
        image_shape: height, width and channels of the images.
    """
    height, width, channels = image_shape
    count, h, w, together = individual_codes.shape
    rows, columns = _block((height, width), (h, w))
    own = together - rows * columns * 2 * channels
    blocks = individual_codes[..., own:].reshape(count, h, w, rows, columns, 2 * channels)
    whole = blocks.swapaxes(2, 3).reshape(count, h * rows, w * columns, 2 * channels)[:, :height, :width]
    return individual_codes[..., :own], whole[..., :channels], whole[..., channels:]
