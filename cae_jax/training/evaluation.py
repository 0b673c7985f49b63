"""Scores a generator: by the classifier, and by the oracle that training never saw."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cae_jax import images as image_ranges
from cae_jax import metrics
from cae_jax.batching import map_batches
from cae_jax.classifiers import classes_of
from cae_jax.training.functions import Functions
from cae_jax.training.sharding import on_this_process
from cae_jax.types import ImageSource

VALIDATION_SWAPS = 1000
VALIDATION_CODES = 2000  # training images whose class codes the validation's nearest neighbours come from


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

    def _codes(
        self, encode: Callable, params: Any, source: ImageSource, rows: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = np.arange(len(source)) if rows is None else rows
        return map_batches(lambda batch: encode(params, source.take(batch)), rows, spread=True)

    def _swaps(self, params: Any, codes: tuple[np.ndarray, np.ndarray], count: int) -> dict[str, float]:
        individual_codes, class_codes = codes
        exemplars, donors = metrics.draw_swaps(self._predictions, count, self._seed)

        def answers(exemplar, donor):
            swaps = self._functions.decode(params, individual_codes[exemplar], class_codes[donor])
            before, other = (image_ranges.to_unit(self._source.take(rows)) for rows in (exemplar, donor))
            distances = [abs(image - before).mean((1, 2, 3)) for image in (swaps, other)]
            return self._functions.predict(swaps), classes_of(np.asarray(self._functions.oracle(swaps))), *distances

        probabilities, by_oracle, changed, apart = map_batches(answers, exemplars, donors, spread=True)
        wanted = self._predictions[donors]
        return {
            "swap_flip_rate": float((classes_of(probabilities) == wanted).mean()),
            "swap_oracle_rate": float((by_oracle == wanted).mean()),
            "swap_probability": float(np.nan_to_num(probabilities[np.arange(count), wanted]).mean()),
            "swap_change": float(changed.mean() / apart.mean()),
        }

    def _reconstructions(self, params: Any) -> dict[str, float]:
        def compare(rows):
            images = image_ranges.to_unit(self._source.take(rows))
            reconstructions = self._functions.reconstruct(params, images)
            return self._functions.predict(reconstructions), abs(reconstructions - images).mean((1, 2, 3))

        rows = np.arange(len(self._source))
        probabilities, distances = map_batches(compare, rows, spread=True)
        return {
            "reconstruction_keep_rate": float((classes_of(probabilities) == self._predictions).mean()),
            "reconstruction_probability": float(np.nan_to_num(probabilities[rows, self._predictions]).mean()),
            "reconstruction_l1": float(distances.mean()),
        }

    def validate(self, params: Any) -> dict[str, float]:
        """Scores quickly, while training. The oracle's rate is for reading only: nothing may be chosen by it."""
        params = on_this_process(params)
        codes = self._codes(self._functions.encode, params, self._source)
        rows = np.random.default_rng(self._seed).permutation(len(self._train))[:VALIDATION_CODES]
        _, train_class_codes = self._codes(self._functions.plain_encode, params, self._train, rows)
        return {
            **self._swaps(params, codes, VALIDATION_SWAPS),
            **self._reconstructions(params),
            "class_code_knn_accuracy": metrics.knn_accuracy(
                train_class_codes, self._train_predictions[rows], codes[1], self._predictions
            ),
        }

    def evaluate(self, params: Any, swaps: int) -> dict[str, float]:
        """Scores in full: `swaps` random swaps, reconstructions, probes fitted to the training split's codes."""
        params = on_this_process(params)
        codes = self._codes(self._functions.encode, params, self._source)
        individual_codes, _ = self._codes(self._functions.plain_encode, params, self._source)
        train_codes = self._codes(self._functions.plain_encode, params, self._train)
        individual = (train_codes[0], self._train_predictions, individual_codes, self._predictions)
        linear = metrics.linear_probe_accuracy(*individual)
        convolutional = metrics.convolutional_probe_accuracy(*individual, seed=self._seed)
        return {
            **self._swaps(params, codes, swaps),
            **self._reconstructions(params),
            "class_code_knn_accuracy": metrics.knn_accuracy(
                train_codes[1], self._train_predictions, codes[1], self._predictions
            ),
            "individual_code_leakage": max(linear, convolutional),
            "individual_code_leakage_linear": linear,
            "individual_code_leakage_convolutional": convolutional,
            "individual_code_leakage_chance": self.chance,
        }
