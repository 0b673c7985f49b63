"""A generator as two functions of images in [0, 1] of the user's size; and what swaps keep of the exemplars."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cae_jax import images as image_ranges
from cae_jax.models.apply import apply
from cae_jax.models.cae import CAE

WINDOW = 5  # pixels, around each of which changes are averaged
FADING = 0.05  # mean change, in brightness of [0, 1], at which 1/e of the exemplar, or of its detail, is left


class Individual(NamedTuple):
    """Individual codes, and where swaps are to keep what class codes do not change, what they keep it of.

    Attributes:
        code: `[N, h, w, code]`.
        exemplar: `[N, height, width, channels]` in [0, 1], the images themselves; None where they are not kept.
        reconstruction: likewise, what the decoder draws from their own codes by itself.
        fixed: `[N, height, width, 1]`, 1 where no class code may change the image, 0 elsewhere; None where all may
            change. What stays is the exemplar, or where that is not kept, the reconstruction.
    """

    code: Any  # arrays of JAX, or of numpy on the host
    exemplar: Any = None
    reconstruction: Any = None
    fixed: Any = None


def _shown(drawn: jax.Array, reconstructions: jax.Array, span: float) -> jax.Array:
    """How much of an exemplar is left at each place, `[N, height, width, 1]`: `exp(-(change / (FADING * span))²)`.

    A change's size is averaged over the channels and over what of a window lies in the image.
    """
    change = jnp.abs(drawn - reconstructions).mean(-1, keepdims=True)

    def sums(x: jax.Array) -> jax.Array:
        return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, WINDOW, WINDOW, 1), (1, 1, 1, 1), "SAME")

    average = sums(change) / sums(jnp.ones_like(change[:1]))
    return jnp.exp(-jnp.square(average / (FADING * span)))


def draw_on(exemplars: jax.Array, reconstructions: jax.Array, drawn: jax.Array, span: float = 1.0) -> jax.Array:
    """Puts what was drawn where the class code has changed the image, and keeps the exemplar elsewhere.

    So its details stay, what goes (a finding) goes with its edges, and changes too faint to see do not count.

    Args:
        exemplars: `[N, height, width, C]`.
        reconstructions: drawn from their individual and class codes.
        drawn: from the same individual codes and other class codes.
        span: between black and white: 1 for images in [0, 1], 2 for [-1, 1].

    Returns:
        Images of the same range; where nothing was changed, the exemplars.
    """
    kept = _shown(drawn, reconstructions, span)
    return kept * exemplars + (1.0 - kept) * drawn


def add_detail(exemplars: jax.Array, reconstructions: jax.Array, drawn: jax.Array, span: float = 1.0) -> jax.Array:
    """Adds to what was drawn all that the drawing of the exemplar lacked, and less of it the more was changed there.

    So every change shows, however faint, on an image that stays as sharp as the exemplar all the way.

    Args:
        exemplars: see `draw_on`, like all others.
        reconstructions: likewise.
        drawn: likewise.
        span: likewise.

    Returns:
        Images of the same range; where nothing was changed, the exemplars.
    """
    kept = _shown(drawn, reconstructions, span)
    return (drawn + kept * (exemplars - reconstructions)).clip(1.0 - span, 1.0)


RESIDUALS = {"exemplar": draw_on, "detail": add_detail}
"""What swaps can keep of exemplars, by the names that `model.residual` has."""


def make_codec(model: CAE, image_size: tuple[int, int], residual: str = "exemplar") -> tuple[Callable, Callable]:
    """The `encode` and `decode` of a generator, traceable, not compiled.

    `encode(params, images, answers=None, keep=False)` returns individual and class codes, see `Individual`; `answers`
    are the classifier's, see `ClassEncoder`, and `keep` says whether exemplars go along. `decode(params, individual,
    class_code)` returns images, which keep of exemplars that went along what `residual` says, see `RESIDUALS`.
    """

    def decode(params: Any, individual: Individual, class_code: jax.Array) -> jax.Array:
        x = apply(model, params, individual.code, class_code, method="decode")
        drawn = image_ranges.from_model(x, image_size).clip(0.0, 1.0)
        start = individual.reconstruction
        if individual.exemplar is not None:
            start = individual.exemplar
            drawn = RESIDUALS[residual](start, individual.reconstruction, drawn)
        return drawn if individual.fixed is None else jnp.where(individual.fixed > 0.5, start, drawn)

    def encode(
        params: Any, images: jax.Array, answers: jax.Array | None = None, keep: bool = False
    ) -> tuple[Individual, jax.Array]:
        x = image_ranges.to_model(images, model.stride)
        code, class_code = apply(model, params, x, answers, method="encode")
        individual = Individual(code)
        if keep:
            reconstruction = decode(params, individual, class_code)
            individual = Individual(code, image_ranges.to_unit(images), reconstruction)
        return individual, class_code

    return encode, decode
