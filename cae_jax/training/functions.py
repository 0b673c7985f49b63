"""A model and its classifiers as compiled functions of arrays."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax

from cae_jax.models import CAE, make_codec
from cae_jax.parallel.sharding import split_over_devices
from cae_jax.types import Predict


class Functions(NamedTuple):
    """A model as compiled functions.

    Attributes:
        encode: `(params, images)` to individual and class codes; images are uint8 or in [0, 1], of the user's size.
        encode_to_swap: the same, with the exemplars where swaps keep them.
        decode: `(params, individual, class_code)` to images in [0, 1] of the user's size.
        reconstruct: `(params, images)` to what the decoder draws from their own codes by itself.
        predict: the classifier, images to probabilities.
        oracle: likewise.
    """

    encode: Callable
    encode_to_swap: Callable
    decode: Callable
    reconstruct: Callable
    predict: Predict
    oracle: Predict


def make_functions(
    model: CAE, image_size: tuple[int, int], predict: Predict, oracle: Predict, keep_residual: bool = False
) -> Functions:
    """Compiles a model's functions, once for all parameters it will have.

    Args:
        model: whose functions they are.
        image_size: of the user's images, height and width.
        predict: the classifier, see `make_answer`.
        oracle: likewise.
        keep_residual: whether swaps keep of the exemplars what class codes do not change.
    """
    encode, decode = make_codec(model, image_size)

    def compiled(function: Callable) -> Callable:
        on_devices = jax.jit(function)
        return lambda params, *rows: on_devices(params, *map(split_over_devices, rows))

    encode_alone = compiled(encode)
    return Functions(
        encode_alone,
        compiled(functools.partial(encode, keep=True)) if keep_residual else encode_alone,
        compiled(decode),
        compiled(lambda params, images: decode(params, *encode(params, images))),
        predict,
        oracle,
    )
