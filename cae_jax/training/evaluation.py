"""Scores a generator: by the classifier, and by the oracle that training never saw."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from cae_jax import images as image_ranges
from cae_jax import metrics
from cae_jax.batching import map_batches
from cae_jax.models import CAE, apply
from cae_jax.types import ImageSource, Predict

VALIDATION_SWAPS = 1000
VALIDATION_CODES = 2000  # training images whose class codes the validation's nearest neighbours come from


class Functions(NamedTuple):
    """A model as compiled functions.

    Attributes:
        encode: `(params, images)` to individual and class codes; images are uint8 or in [0, 1], of the user's size.
        decode: `(params, individual_code, class_code)` to images in [0, 1] of the user's size.
        predict: the classifier, images to probabilities.
        oracle: likewise.
    """

    encode: Callable
    decode: Callable
    predict: Predict
    oracle: Predict


def make_codec(model: CAE, image_size: tuple[int, int]) -> tuple[Callable, Callable]:
    """The `encode` and `decode` of `Functions`, traceable, not compiled."""

    def encode(params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        return apply(model, params, image_ranges.to_model(images, model.stride), method="encode")

    def decode(params: Any, individual_code: jax.Array, class_code: jax.Array) -> jax.Array:
        x = apply(model, params, individual_code, class_code, method="decode")
        return image_ranges.from_model(x, image_size).clip(0.0, 1.0)

    return encode, decode


def make_functions(model: CAE, image_size: tuple[int, int], predict: Predict, oracle: Predict) -> Functions:
    """Compiles a model's functions, once for all parameters it will have."""
    encode, decode = make_codec(model, image_size)
    return Functions(
        jax.jit(encode),
        jax.jit(decode),
        jax.jit(lambda x: predict(image_ranges.to_unit(x))),
        jax.jit(lambda x: oracle(image_ranges.to_unit(x))),
    )


def predicted_classes(predict: Predict, source: ImageSource) -> np.ndarray:
    """The classes that a classifier gives to all images of a source, `[N]` int32."""
    classify = jax.jit(lambda x: predict(image_ranges.to_unit(x)).argmax(-1))
    rows = np.arange(len(source))
    return map_batches(lambda batch: classify(source.take(batch)), rows).astype(np.int32)


def collapse_reason(scores: dict[str, float], chance: float) -> str:
    """Says in what way a class code carries nothing any more, or returns '' if it does carry something.

    Args:
        scores: with `swap_flip_rate` and `class_code_knn_accuracy`.
        chance: the share of the most frequent class.
    """
    threshold = chance + 0.1 * (1.0 - chance)
    if scores["class_code_knn_accuracy"] < threshold:
        return f"the class code tells the class no better than chance ({scores['class_code_knn_accuracy']:.2f})"
    if scores["swap_flip_rate"] < threshold:
        return f"swapping class codes does not change the class ({scores['swap_flip_rate']:.2f} of swaps flip)"
    return ""


class Evaluator:
    """Scores generators on a split against the training split.

    Attributes:
        chance: the share of the most frequent predicted class on the split.
    """

    def __init__(
        self,
        functions: Functions,
        train: ImageSource,
        train_predictions: np.ndarray,
        source: ImageSource,
        predictions: np.ndarray,
        seed: int,
    ):
        self._functions = functions
        self._train, self._train_predictions = train, train_predictions
        self._source, self._predictions = source, predictions
        self._seed = seed
        self.chance = metrics.majority_share(predictions)

    def _encode(self, params: Any, source: ImageSource, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return map_batches(lambda batch: self._functions.encode(params, source.take(batch)), rows)

    def _swaps(self, params: Any, codes: tuple[np.ndarray, np.ndarray], count: int) -> dict[str, float]:
        individual_codes, class_codes = codes
        exemplars, donors = metrics.draw_swaps(self._predictions, count, self._seed)

        def answers(exemplar, donor):
            swaps = self._functions.decode(params, individual_codes[exemplar], class_codes[donor])
            return self._functions.predict(swaps), self._functions.oracle(swaps).argmax(-1)

        probabilities, by_oracle = map_batches(answers, exemplars, donors)
        wanted = self._predictions[donors]
        return {
            "swap_flip_rate": float((probabilities.argmax(-1) == wanted).mean()),
            "swap_oracle_rate": float((by_oracle == wanted).mean()),
            "swap_probability": float(probabilities[np.arange(count), wanted].mean()),
        }

    def _reconstructions(self, params: Any, codes: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
        def compare(rows):
            images = image_ranges.to_unit(self._source.take(rows))
            reconstructions = self._functions.decode(params, codes[0][rows], codes[1][rows])
            return self._functions.predict(reconstructions), abs(reconstructions - images).mean((1, 2, 3))

        rows = np.arange(len(self._source))
        probabilities, distances = map_batches(compare, rows)
        return {
            "reconstruction_keep_rate": float((probabilities.argmax(-1) == self._predictions).mean()),
            "reconstruction_probability": float(probabilities[rows, self._predictions].mean()),
            "reconstruction_l1": float(distances.mean()),
        }

    def validate(self, params: Any) -> dict[str, float]:
        """Scores quickly, while training. The oracle's rate is for reading only: nothing may be chosen by it."""
        codes = self._encode(params, self._source, np.arange(len(self._source)))
        rows = np.random.default_rng(self._seed).permutation(len(self._train))[:VALIDATION_CODES]
        _, train_class_codes = self._encode(params, self._train, rows)
        return {
            **self._swaps(params, codes, VALIDATION_SWAPS),
            **self._reconstructions(params, codes),
            "class_code_knn_accuracy": metrics.knn_accuracy(
                train_class_codes, self._train_predictions[rows], codes[1], self._predictions
            ),
        }

    def evaluate(self, params: Any, swaps: int) -> dict[str, float]:
        """Scores in full: `swaps` random swaps, reconstructions, probes fitted to the training split's codes."""
        codes = self._encode(params, self._source, np.arange(len(self._source)))
        train_codes = self._encode(params, self._train, np.arange(len(self._train)))
        individual = (train_codes[0], self._train_predictions, codes[0], self._predictions)
        linear = metrics.linear_probe_accuracy(*individual)
        convolutional = metrics.convolutional_probe_accuracy(*individual, seed=self._seed)
        return {
            **self._swaps(params, codes, swaps),
            **self._reconstructions(params, codes),
            "class_code_knn_accuracy": metrics.knn_accuracy(
                train_codes[1], self._train_predictions, codes[1], self._predictions
            ),
            "individual_code_leakage": max(linear, convolutional),
            "individual_code_leakage_linear": linear,
            "individual_code_leakage_convolutional": convolutional,
            "individual_code_leakage_chance": self.chance,
        }
