"""A generator as two functions of images in [0, 1] of the user's size."""

from collections.abc import Callable
from typing import Any

import jax

from cae_jax import images as image_ranges
from cae_jax.models.apply import apply
from cae_jax.models.cae import CAE
from cae_jax.models.exemplars import carried_exemplars, carry_exemplars, draw_on


def make_codec(model: CAE, image_size: tuple[int, int]) -> tuple[Callable, Callable]:
    """The `encode` and `decode` of `Functions`, traceable, not compiled.

    With `model.keep_residual`, individual codes carry exemplar and reconstruction as further channels.
    """

    def draw(params: Any, individual_code: jax.Array, class_code: jax.Array) -> jax.Array:
        x = apply(model, params, individual_code, class_code, method="decode")
        return image_ranges.from_model(x, image_size).clip(0.0, 1.0)

    def encode(params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        codes, class_codes = apply(model, params, image_ranges.to_model(images, model.stride), method="encode")
        if model.keep_residual:
            codes = carry_exemplars(codes, image_ranges.to_unit(images), draw(params, codes, class_codes))
        return codes, class_codes

    def decode(params: Any, individual_code: jax.Array, class_code: jax.Array) -> jax.Array:
        if not model.keep_residual:
            return draw(params, individual_code, class_code)
        codes, exemplars, reconstructions = carried_exemplars(individual_code, (*image_size, model.channels))
        return draw_on(exemplars, reconstructions, draw(params, codes, class_code))

    return encode, decode
