"""A generator and the classifier that it explains, as compiled functions of any number of rows."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.classifiers import check_answers, classes_of
from cae_jax.counterfactual import CodeTable, Crossings, Paths, along_path, log_odds, odds_of, search, search_on_host
from cae_jax.images import to_unit
from cae_jax.models import Individual, apply, make_codec
from cae_jax.parallel.batching import (
    few_rows,
    first_call_alone,
    map_batches,
    one_at_a_time,
    parallel_calls,
    rows_of_a_call,
)
from cae_jax.parallel.rows import Picked, count
from cae_jax.parallel.sharding import each_device_by_itself, split_over_devices
from cae_jax.types import HostClassifier, ImageSource, Predict
from cae_jax.workdir.generator import generator_of
from cae_jax.workdir.record import RunRecord

CODES = 20_000  # training images in the code table; drawn at random by the run's seed where there are more
HOST_BATCHES = 16  # times `few_rows` in a call of a classifier that JAX cannot trace; it may divide them as suits it


class CompiledModel:
    """Encoder, decoder, classifier and search behind the `Explainer`.

    Images are float32 in [0, 1], of the trained size.

    Attributes:
        code_size: count of numbers in an individual code, including the exemplar where the generator always keeps it.
        sensitivity: function from images and classes to the gradient of each class's log odds with respect to the
            image; None if JAX cannot trace the classifier.
        asked_by_search: the functions that the search calls on batches: `decode`, and the classifier.
    """

    def __init__(self, record: RunRecord, params: Any, predict: Predict, host_classifier: HostClassifier | None):
        """Compiles the functions.

        Args:
            record: record of the run.
            params: parameters of the generator.
            predict: classifier that JAX can trace; ignored if there is a `host_classifier`.
            host_classifier: classifier that JAX cannot trace, or None.
        """
        self._host, self._classes, self._seed = host_classifier is not None, len(record.class_names), record.config.seed
        self._rows = rows_of_a_call(*record.image_shape[:2])
        devices = jax.local_device_count()
        self._search_rows = -(-3 * self._rows // (2 * devices)) * devices  # 64 images × 3 references: 2 calls
        slots = max(self._rows // (2 * devices), 1)  # rows that each device decodes together
        self._keep = bool(record.config.model.keep_residual)
        model = generator_of(record)
        self._told = bool(model.told)
        encode, decode = make_codec(model, record.image_shape[:2], record.config.model.residual)
        self._shared = functools.cache(first_call_alone)
        self._encode = {keep: jax.jit(functools.partial(encode, params, keep=keep)) for keep in (False, True)}
        self._decode = jax.jit(functools.partial(decode, params))
        self._at = jax.jit(lambda code, waypoints, shift: self._decode(code, along_path(waypoints, shift)))
        bits = functools.partial(apply, model, params, method="code_bits")
        self._code_bits = jax.jit(bits) if model.individual_code_rounded else None
        one = jax.ShapeDtypeStruct((1, *record.image_shape), np.float32)
        answers = jax.ShapeDtypeStruct((1, self._classes), np.float32)
        individual, _ = jax.eval_shape(self._encode[self._keep], one, *[answers] * self._told)
        self.code_size = sum(leaf.size for leaf in jax.tree.leaves(individual))
        self.sensitivity: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
        if host_classifier is None:
            self._predict = jax.jit(predict)

            def odds(images: jax.Array, classes: jax.Array) -> jax.Array:
                probabilities = jnp.take_along_axis(predict(images), classes[:, None], axis=-1)
                return log_odds(probabilities[:, 0]).sum()

            self.sensitivity = functools.partial(self._map, jax.jit(jax.grad(odds)))
            find = functools.partial(search, self._decode, self._predict, slots=slots)
            self._search = each_device_by_itself(lambda paths, precision: find(paths, **precision))
        else:
            self._predict = one_at_a_time(lambda images: self._check(host_classifier(np.asarray(images)), len(images)))
            find = functools.partial(search_on_host, self._decode, self._predict, slots=slots * devices)
            self._search = lambda paths, precision: find(paths, **precision)
        self.asked_by_search = self._decode, self._predict

    def _check(self, answers: np.ndarray, count: int) -> np.ndarray:
        return check_answers(answers, count, self._classes)

    def _map(self, function: Callable, *trees: Any) -> Any:
        answer = self._shared(function)
        split = lambda *rows: answer(*map(split_over_devices, rows))  # noqa: E731
        return map_batches(split, *trees, batch_size=self._rows, calls=parallel_calls())

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The classifier's probabilities for images, `[N, K]`.

        Raises:
            ClassifierError: if its answers are not probabilities.
        """
        if self._host:  # it is given no rows that only fill up a batch
            rows = HOST_BATCHES * few_rows(*images.shape[1:3])
            starts = range(0, len(images), rows)
            return np.concatenate([self._predict(images[start : start + rows]) for start in starts])
        return self._check(self._map(self._predict, images), len(images))

    def encode(
        self, images: np.ndarray, keep: bool = False, answers: np.ndarray | None = None
    ) -> tuple[Individual, np.ndarray]:
        """Encodes images into individual codes and class codes `[N, size]`.

        Args:
            images: images `[N, height, width, channels]`.
            keep: whether the individual codes carry the exemplars; they always do if the generator was trained so.
            answers: the classifier's probabilities for the images where they are known, `[N, K]`; else it is asked, if
                the class encoder is told them.
        """
        encode = self._encode[keep or self._keep]
        if not self._told:
            return self._map(encode, images)
        return self._map(encode, images, self.predict(images) if answers is None else answers)

    def code_bits(self, individual: Individual) -> np.ndarray:
        """Bits that individual codes take, `[N]`; NaN where they are not whole numbers."""
        if self._code_bits is None:
            return np.full(count(individual), np.nan, np.float32)
        return self._map(self._code_bits, individual.code)

    def fix(self, individual: Individual, class_codes: np.ndarray, fixed: np.ndarray) -> Individual:
        """Individual codes whose images stay what they are, where `fixed`, `[N, height, width]`, is true."""
        if individual.reconstruction is None:
            individual = individual._replace(reconstruction=self.decode(individual, class_codes))
        return individual._replace(fixed=fixed[..., None].astype(np.float32))

    def decode(self, individual: Individual, class_codes: np.ndarray) -> np.ndarray:
        """Decodes individual codes and as many class codes into images."""
        return self._map(self._decode, individual, class_codes)

    def at(self, individual: Individual | Picked, waypoints: np.ndarray | Picked, shifts: np.ndarray) -> np.ndarray:
        """Decodes images `[N, height, width, channels]` at shifts `[N]` in [0, 1] along paths `[N, points, size]`."""
        return self._map(self._at, individual, waypoints, shifts)

    def search(self, paths: Paths, *, tolerance: float) -> Crossings:
        """Runs `counterfactual.search` on any number of paths, in batches of one shape.

        Args:
            paths: paths to search; the individual codes may be `Picked`.
            tolerance: uncertainty of the shifts that are found, as a share of the path.
        """
        answer = self._shared(self._search)
        precision = {"tolerance": jnp.asarray(tolerance)}

        def find(part: Paths, active: np.ndarray) -> Crossings:
            return answer(jax.tree.map(jnp.asarray, part._replace(active=active)), precision)

        return map_batches(find, paths, batch_size=self._search_rows, calls=parallel_calls(), mask=True)

    def code_table(self, source: ImageSource) -> CodeTable:
        """Makes the code table: training images' class codes, and the answers to them and to their reconstructions."""
        rows = np.sort(np.random.default_rng(self._seed).permutation(len(source))[:CODES])

        def codes_of(indices: np.ndarray) -> tuple[jax.Array, Any, Any]:
            images = to_unit(source.take(indices))
            answers = self._predict(images)
            individual, class_codes = self._encode[self._keep](images, *[answers] * self._told)
            return class_codes, answers, self._predict(self._decode(individual, class_codes))

        class_codes, of_images, of_reconstructions = map_batches(codes_of, rows, batch_size=self._rows)
        return CodeTable(
            np.asarray([f"train_{row}" for row in rows]),
            class_codes,
            np.asarray(source.labels)[rows],
            *_classes_and_odds(of_reconstructions),
            *_classes_and_odds(of_images),
        )


def _classes_and_odds(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class of each answer and its log odds, both `[N]`; -1 and -inf where it is not finite."""
    classes = classes_of(answers)
    return classes, np.where(classes < 0, -np.inf, odds_of(answers, np.maximum(classes, 0)))
