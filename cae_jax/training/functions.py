"""A model and its classifiers as functions of arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from cae_jax import images as image_ranges
from cae_jax.batching import map_batches
from cae_jax.classifiers import classes_of
from cae_jax.models import CAE, apply, carried_exemplars, carry_exemplars, draw_on
from cae_jax.training.sharding import split_over_devices
from cae_jax.types import ImageSource, Predict


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


def make_answer(predict: Callable[[Any], Any], traceable: bool) -> Callable[[Any], Any]:
    """Makes a classifier ready for images that are uint8 or in [0, 1]: compiled, or called with numpy arrays."""
    if traceable:
        compiled = jax.jit(lambda images: predict(image_ranges.to_unit(images)))
        return lambda images: compiled(split_over_devices(images))
    return lambda images: predict(np.asarray(image_ranges.to_unit(images)))


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


def predicted_classes(answer: Callable[[Any], Any], source: ImageSource, spread: bool = False) -> np.ndarray:
    """The classes that a classifier gives to all images of a source, `[N]` int32; -1 where it has no finite answer.

    For `spread` see `map_batches`.
    """
    rows = np.arange(len(source))
    return map_batches(lambda batch: classes_of(np.asarray(answer(source.take(batch)))), rows, spread=spread)
