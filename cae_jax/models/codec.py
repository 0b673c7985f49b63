"""A generator as two functions of images in [0, 1] of the user's size."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from cae_jax import images as image_ranges
from cae_jax.models.apply import apply
from cae_jax.models.cae import CAE
from cae_jax.models.exemplars import draw_on


class Individual(NamedTuple):
    """Individual codes, and where swaps are to keep what class codes do not change, what they keep it of.

    Attributes:
        code: `[N, h, w, code]`.
        exemplar: `[N, height, width, channels]` in [0, 1], the images themselves; None where they are not kept.
        reconstruction: likewise, what the decoder draws from their own codes by itself.
    """

    code: Any  # arrays of JAX, or of numpy on the host
    exemplar: Any = None
    reconstruction: Any = None


def make_codec(model: CAE, image_size: tuple[int, int]) -> tuple[Callable, Callable]:
    """The `encode` and `decode` of a generator, traceable, not compiled.

    `encode(params, images, keep=False)` returns individual and class codes, see `Individual`; `keep` says whether
    exemplars go along. `decode(params, individual, class_code)` returns images, which keep exemplars that went along.
    """

    def decode(params: Any, individual: Individual, class_code: jax.Array) -> jax.Array:
        x = apply(model, params, individual.code, class_code, method="decode")
        drawn = image_ranges.from_model(x, image_size).clip(0.0, 1.0)
        if individual.exemplar is None:
            return drawn
        return draw_on(individual.exemplar, individual.reconstruction, drawn)

    def encode(params: Any, images: jax.Array, keep: bool = False) -> tuple[Individual, jax.Array]:
        code, class_code = apply(model, params, image_ranges.to_model(images, model.stride), method="encode")
        individual = Individual(code)
        if keep:
            reconstruction = decode(params, individual, class_code)
            individual = Individual(code, image_ranges.to_unit(images), reconstruction)
        return individual, class_code

    return encode, decode
