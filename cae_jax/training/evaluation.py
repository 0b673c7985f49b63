"""Scores a generator on a split, by the classifier and by two judges that training never saw: oracle and SVM."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from cae_jax import images as image_ranges
from cae_jax import metrics
from cae_jax.classifiers import Classify, classes_of
from cae_jax.models import CAE, apply, make_codec
from cae_jax.parallel.batching import map_batches, rows_of_a_call
from cae_jax.parallel.rows import on_host, take
from cae_jax.parallel.sharding import on_this_process, split_over_devices
from cae_jax.types import ImageSource, Predict

VALIDATION_SWAPS = 1000
VALIDATION_CODES = 2000  # training images among whose class codes nearest neighbours are sought in validation
OF_A_CLASS = 3  # of them, if there are as many: fewer cannot outvote the other two of five neighbours


def some_of_each(classes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws positions at random, `count` of them, and as many more as a class lacks to have `OF_A_CLASS`.

    Args:
        classes: `[N]`.
        count: how many, or all if there are fewer.
        seed: seed of the draw.
    """
    order = np.random.default_rng(seed).permutation(len(classes))
    drawn = classes[order]
    of_each = [np.flatnonzero(drawn == number)[:OF_A_CLASS] for number in np.unique(classes)]
    return order[np.unique(np.concatenate([np.arange(min(count, len(order))), *of_each]))]


class Functions(NamedTuple):
    """A model, its classifier and its oracle as compiled functions.

    Attributes:
        encode: `(params, images)` to individual and class codes; images are uint8 or in [0, 1], of the user's size.
        encode_to_swap: like `encode`, for swaps; the individual codes carry the exemplars where swaps keep them.
        decode: `(params, individual, class_code)` to images in [0, 1] of the user's size.
        reconstruct: `(params, images)` to their reconstructions, without anything kept from the exemplars.
        predict: the classifier, images to probabilities.
        oracle: the oracle, images to probabilities; None where there is none.
        svm: the second judge, numpy images to classes; None where there is none.
        code_bits: `(params, individual codes)` to their bits `[batch]`; None where codes are not rounded.
    """

    encode: Callable
    encode_to_swap: Callable
    decode: Callable
    reconstruct: Callable
    predict: Predict
    oracle: Predict | None
    svm: Classify | None = None
    code_bits: Callable | None = None


def make_functions(
    model: CAE,
    image_size: tuple[int, int],
    predict: Predict,
    oracle: Predict | None,
    residual: str = "",
    svm: Classify | None = None,
) -> Functions:
    """Compiles a model's functions; the parameters are an argument of each, so that all checkpoints share them.

    Args:
        model: model to compile.
        image_size: height and width of the user's images.
        predict: the classifier as `make_answer` returns it.
        oracle: the oracle as `make_answer` returns it, or None.
        residual: what swaps keep of the exemplars, a name in `models.RESIDUALS`; empty for nothing.
        svm: the second judge, or None.
    """
    encode, decode = make_codec(model, image_size, residual or "exemplar")

    def compiled(function: Callable) -> Callable:
        on_devices = jax.jit(function)
        return lambda params, *rows: on_devices(params, *map(split_over_devices, rows))

    def told(function: Callable) -> Callable:
        on_devices = compiled(function)
        if not model.told:
            return on_devices
        return lambda params, images: on_devices(params, images, predict(images))

    encode_alone = told(encode)
    return Functions(
        encode_alone,
        told(functools.partial(encode, keep=True)) if residual else encode_alone,
        compiled(decode),
        told(lambda params, *seen: decode(params, *encode(params, *seen))),
        predict,
        oracle,
        svm,
        compiled(functools.partial(apply, model, method="code_bits")) if model.individual_code_rounded else None,
    )


def _balanced(name: str, hits: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    found = metrics.balanced_rate(hits, classes)
    return {f"{name}_balanced": found.rate, f"{name}_error": found.error}


def most_in_a_batch(ordered: np.ndarray, batch_size: int) -> int:
    """The greatest number of distinct rows in a batch of the ordered row numbers, rounded up to a power of two.

    It is at most the batch size. All batches are padded to it, so that they share one compiled shape.
    """
    batches = np.split(ordered, range(batch_size, len(ordered), batch_size))
    most = max(len(np.unique(batch)) for batch in batches)
    return min(1 << (most - 1).bit_length(), batch_size)


class Evaluator:
    """Scores generators on a split; neighbours and probes are taken from the training split.

    Images are read, encoded and decoded a few at a time. No individual codes are kept, except for the sample that
    probes are fitted to (see `metrics.individual_code_leakage`), so memory grows neither with the number of images nor
    with the number of classes.

    Attributes:
        chance: balanced rate, over the split's classes, of an answer that is the same for all images.
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
        self._rows = rows_of_a_call(*source.take(np.arange(1)).shape[1:3])
        self.chance = 1.0 / len(np.unique(predictions))

    def _map(self, function: Callable[..., Any], *arrays: np.ndarray) -> Any:
        return map_batches(function, *arrays, batch_size=self._rows, spread=True)

    def _class_codes(self, params: Any, source: ImageSource, rows: np.ndarray | None = None) -> np.ndarray:
        rows = np.arange(len(source)) if rows is None else rows
        return self._map(lambda batch: self._functions.encode(params, source.take(batch))[1], rows)

    def _swaps(self, params: Any, class_codes: np.ndarray, count: int) -> dict[str, float]:
        exemplars, donors = metrics.draw_swaps(self._predictions, count, self._seed)
        order = np.argsort(exemplars, kind="stable")  # so that a batch has few distinct exemplars, each encoded once
        exemplars, donors = exemplars[order], donors[order]
        wanted = self._predictions[donors]
        width, oracle, svm = most_in_a_batch(exemplars, self._rows), self._functions.oracle, self._functions.svm

        def answers(exemplar, donor, target):
            rows, place = np.unique(exemplar, return_inverse=True)
            rows = np.pad(rows, (0, width - len(rows)), mode="edge")
            before = self._source.take(rows)
            individual, _ = self._functions.encode_to_swap(params, before)
            swaps = self._functions.decode(params, take(on_host(individual), place), class_codes[donor])
            before, other = image_ranges.to_unit(before[place]), image_ranges.to_unit(self._source.take(donor))
            distances = [abs(image - before).mean((1, 2, 3)) for image in (swaps, other)]
            probabilities = np.asarray(self._functions.predict(swaps))
            by_oracle = classes_of(np.asarray(oracle(swaps))) == target if oracle else np.zeros(len(target), bool)
            by_svm = svm(np.asarray(swaps)) == target if svm else np.zeros(len(target), bool)
            own = np.nan_to_num(np.take_along_axis(probabilities, target[:, None], axis=-1)[:, 0])
            return classes_of(probabilities) == target, by_oracle, by_svm, own, *distances

        hits, by_oracle, by_svm, probabilities, changed, apart = self._map(answers, exemplars, donors, wanted)
        used, place, times = np.unique(donors, return_inverse=True, return_counts=True)
        of_donors = np.bincount(place, hits) / times  # swaps with one donor share its class code: count them as one
        return {
            "swap_flip_rate": float(hits.mean()),
            **_balanced("swap_flip_rate", of_donors, self._predictions[used]),
            **({"swap_oracle_rate": float(by_oracle.mean())} if oracle else {}),
            **({"swap_svm_rate": float(by_svm.mean())} if svm else {}),
            "swap_probability": float(probabilities.mean()),
            "swap_change": float(changed.mean() / max(apart.mean(), np.finfo(np.float32).tiny)),
        }

    def _reconstructions(self, params: Any) -> dict[str, float]:
        def compare(rows, target):
            images = image_ranges.to_unit(self._source.take(rows))
            reconstructions = self._functions.reconstruct(params, images)
            probabilities = np.asarray(self._functions.predict(reconstructions))
            own = np.nan_to_num(np.take_along_axis(probabilities, target[:, None], axis=-1)[:, 0])
            alike = metrics.structural_similarity(np.asarray(reconstructions), np.asarray(images))
            return classes_of(probabilities) == target, own, abs(reconstructions - images).mean((1, 2, 3)), alike

        kept, probabilities, distances, alike = self._map(compare, np.arange(len(self._source)), self._predictions)
        return {
            "reconstruction_keep_rate": float(kept.mean()),
            "reconstruction_probability": float(probabilities.mean()),
            "reconstruction_l1": float(distances.mean()),
            "reconstruction_ssim": float(alike.mean()),
        }

    def _code_bits(self, params: Any) -> dict[str, float]:
        """Bits of an individual code, in the mean over the split, where codes are rounded."""
        encode, code_bits = self._functions.encode, self._functions.code_bits
        if code_bits is None:
            return {}
        bits = self._map(
            lambda rows: code_bits(params, encode(params, self._source.take(rows))[0].code),
            np.arange(len(self._source)),
        )
        return {"individual_code_bits": float(bits.mean())}

    @functools.cached_property
    def _judged(self) -> dict[str, np.ndarray]:
        """Classes that the judges there are, oracle and SVM, give the split's images, `[N]` by name."""
        oracle, svm, judges = self._functions.oracle, self._functions.svm, {}
        if oracle is not None:
            judges["oracle"] = lambda rows: classes_of(
                np.asarray(oracle(image_ranges.to_unit(self._source.take(rows))))
            )
        if svm is not None:
            judges["svm"] = lambda rows: svm(self._source.take(rows))
        return {name: self._map(judge, np.arange(len(self._source))) for name, judge in judges.items()}

    def _agreement(self) -> dict[str, float]:
        """Share of the split's images that each judge gives the classifier's class, and how often the SVM is right."""
        judged = self._judged
        scores = {f"{name}_agreement": float((classes == self._predictions).mean()) for name, classes in judged.items()}
        if "svm" in judged:
            scores["svm_accuracy"] = float((judged["svm"] == self._source.labels).mean())
        return scores

    def _scores(self, params: Any, swaps: int, rows: np.ndarray | None = None) -> dict[str, float]:
        """All scores but those of probes; neighbours are sought among the training images `rows`, or all of them."""
        class_codes = self._class_codes(params, self._source)
        known = self._train_predictions if rows is None else self._train_predictions[rows]
        hits = metrics.knn_predictions(self._class_codes(params, self._train, rows), known, class_codes)
        hits = hits == self._predictions
        return {
            **self._swaps(params, class_codes, swaps),
            **self._reconstructions(params),
            **self._agreement(),
            "class_code_knn_accuracy": float(hits.mean()),
            **_balanced("class_code_knn_accuracy", hits, self._predictions),
        }

    def validate(self, params: Any, most: int = VALIDATION_SWAPS) -> dict[str, float]:
        """Scores quickly, during training. The judges' rates are only reported: nothing may be chosen by them.

        Args:
            params: parameters of the generator.
            most: number of swaps that the whole evaluation draws; validation draws no more than that.
        """
        rows = some_of_each(self._train_predictions, VALIDATION_CODES, self._seed)
        return self._scores(on_this_process(params), min(VALIDATION_SWAPS, most), rows)

    def evaluate(self, params: Any, swaps: int) -> dict[str, float]:
        """Scores in full: `swaps` random swaps, all reconstructions, kNN on class codes, probes of individual codes."""
        params = on_this_process(params)
        leakage = metrics.individual_code_leakage(
            lambda images: self._functions.encode(params, images)[0].code,
            self._train,
            self._train_predictions,
            self._source,
            self._predictions,
            self._seed,
        )
        return {**self._scores(params, swaps), **leakage, **self._code_bits(params)}
