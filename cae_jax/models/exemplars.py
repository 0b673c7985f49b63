"""Images on a path that keep of the exemplar what the class code does not change."""

import jax
import jax.numpy as jnp

WINDOW = 5  # pixels, around each of which changes are averaged
FADING = 0.05  # mean change, in brightness of [0, 1], at which 1/e of the exemplar is left


def draw_on(exemplars: jax.Array, reconstructions: jax.Array, drawn: jax.Array, span: float = 1.0) -> jax.Array:
    """Puts what was drawn where the class code has changed the image, and keeps the exemplar elsewhere.

    The exemplar counts by `exp(-(change / FADING)²)`, where a change's size is averaged over a window and the channels.
    So its details stay, what goes (a finding) goes with its edges, and changes too faint to see do not count.

    Args:
        exemplars: `[N, height, width, C]`.
        reconstructions: drawn from their individual and class codes.
        drawn: from the same individual codes and other class codes.
        span: between black and white: 1 for images in [0, 1], 2 for [-1, 1].

    Returns:
        Images of the same range; where nothing was changed, the exemplars.
    """
    change = jnp.abs(drawn - reconstructions).mean(-1, keepdims=True)
    window, ones = (1, WINDOW, WINDOW, 1), (1, 1, 1, 1)
    total = jax.lax.reduce_window(change, 0.0, jax.lax.add, window, ones, "SAME")
    kept = jnp.exp(-jnp.square(total / (WINDOW**2 * FADING * span)))
    return kept * exemplars + (1.0 - kept) * drawn
