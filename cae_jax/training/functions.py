"""A model and its classifiers as compiled functions of arrays."""

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
        plain_encode: the same, but individual codes never carry the exemplars.
        decode: `(params, individual_code, class_code)` to images in [0, 1] of the user's size.
        reconstruct: `(params, images)` to what the decoder draws from their own codes by itself, even where individual
            codes carry the exemplars.
        predict: the classifier, images to probabilities.
        oracle: likewise.
    """

    encode: Callable
    plain_encode: Callable
    decode: Callable
    reconstruct: Callable
    predict: Predict
    oracle: Predict


def make_functions(model: CAE, image_size: tuple[int, int], predict: Predict, oracle: Predict) -> Functions:
    """Compiles a model's functions, once for all parameters it will have.

    Args:
        model: whose functions they are.
        image_size: of the user's images, height and width.
        predict: the classifier, see `make_answer`.
        oracle: likewise.
    """
    encode, decode = make_codec(model, image_size)
    plain_encode, plain_decode = make_codec(model.clone(keep_residual=False), image_size)

    def compiled(function: Callable) -> Callable:
        on_devices = jax.jit(function)
        return lambda params, *rows: on_devices(params, *map(split_over_devices, rows))

    encode_all = compiled(encode)
    return Functions(
        encode_all,
        compiled(plain_encode) if model.keep_residual else encode_all,
        compiled(decode),
        compiled(lambda params, images: plain_decode(params, *plain_encode(params, images))),
        predict,
        oracle,
    )
