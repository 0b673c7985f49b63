"""A generator and the classifier that it explains, as compiled calls on any number of rows."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.classifiers import check_answers
from cae_jax.counterfactual import CodeTable, Crossings, along_path, log_odds, search, search_on_host
from cae_jax.explaining.code_tables import make_code_table
from cae_jax.images import to_unit
from cae_jax.models import carried_exemplars, draw_on, make_codec
from cae_jax.parallel.batching import (
    Picked,
    Rows,
    first_call_alone,
    map_batches,
    one_at_a_time,
    parallel_calls,
    rows_of_a_call,
)
from cae_jax.parallel.sharding import each_device_by_itself, split_over_devices
from cae_jax.types import ImageSource, Predict
from cae_jax.workdir.generator import build_model
from cae_jax.workdir.record import RunRecord

HOST_BATCHES = 16  # as many go to a classifier that JAX cannot trace, which knows best how to divide them

HostClassifier = Callable[[np.ndarray], np.ndarray]
"""A classifier that JAX cannot trace: `[batch, height, width, channels]` float32 in [0, 1] to probabilities."""


class CompiledModel:
    """What the `Explainer` asks of networks. Images are float32 in [0, 1], of the trained size.

    Attributes:
        code_size: numbers in an individual code.
        keeps_residual: whether the generator's individual codes always carry the exemplars.
        sensitivity: images and classes to gradients of the classes' log odds; None if JAX cannot trace the classifier.
        traceable: `decode` and `predict` as the search calls them.
    """

    def __init__(self, record: RunRecord, params: Any, predict: Predict, host_classifier: HostClassifier | None):
        """Takes a classifier that JAX can trace, or instead one that it cannot."""
        self._host, self._classes, self._seed = host_classifier is not None, len(record.class_names), record.config.seed
        self._rows = rows_of_a_call(*record.image_shape[:2])
        devices = jax.local_device_count()
        self._search_rows = -(-3 * self._rows // (2 * devices)) * devices  # 64 images toward 3 references are 2 calls
        slots = max(self._rows // (2 * devices), 1)  # of them are decoded together, on each device
        model = build_model(record.config, record.image_shape)
        self.keeps_residual = model.keep_residual
        encode, decode = make_codec(model, record.image_shape[:2])
        one = jax.ShapeDtypeStruct((1, *record.image_shape), np.float32)
        code = jax.eval_shape(lambda images: encode(params, images)[0], one)
        code_channels, self.code_size = code.shape[-1], code.size

        def draw(individual_code: jax.Array, class_code: jax.Array) -> jax.Array:
            if individual_code.shape[-1] == code_channels:
                return decode(params, individual_code, class_code)
            own, exemplars, reconstructions = carried_exemplars(individual_code, record.image_shape)
            return draw_on(exemplars, reconstructions, decode(params, own, class_code))

        self._shared = functools.cache(first_call_alone)
        self._encode = jax.jit(lambda images: encode(params, images))
        self._decode = jax.jit(draw)
        self._at = jax.jit(lambda code, waypoints, shift: self._decode(code, along_path(waypoints, shift)))
        self.sensitivity: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
        if host_classifier is None:
            self._predict = jax.jit(predict)

            def odds(images: jax.Array, classes: jax.Array) -> jax.Array:
                probabilities = jnp.take_along_axis(predict(images), classes[:, None], axis=-1)
                return log_odds(probabilities[:, 0]).sum()

            self.sensitivity = functools.partial(self._map, jax.jit(jax.grad(odds)))
            self._search = each_device_by_itself(functools.partial(self._find, search, slots), options=2)
        else:
            self._predict = one_at_a_time(lambda images: self._check(host_classifier(np.asarray(images)), len(images)))
            self._search = functools.partial(self._find, search_on_host, slots * devices)
        self.traceable = self._decode, self._predict

    def _check(self, answers: np.ndarray, count: int) -> np.ndarray:
        return check_answers(answers, count, self._classes)

    def _find(self, how: Callable[..., Crossings], slots: int, *inputs: jax.Array) -> Crossings:
        *rows, confidence, tolerance = inputs
        return how(self._decode, self._predict, *rows, confidence=confidence, tolerance=tolerance, slots=slots)

    def _map(self, function: Callable, *arrays: Rows) -> Any:
        answer = self._shared(function)
        split = lambda *rows: answer(*map(split_over_devices, rows))  # noqa: E731
        return map_batches(split, *arrays, batch_size=self._rows, calls=parallel_calls())

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The classifier's probabilities, `[N, K]`; raises ClassifierError if they are none."""
        if self._host:  # which gets no rows that only fill a batch
            rows = HOST_BATCHES * self._rows
            starts = range(0, len(images), rows)
            return np.concatenate([self._predict(images[start : start + rows]) for start in starts])
        return self._check(self._map(self._predict, images), len(images))

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Individual codes `[N, h, w, code]` and class codes `[N, size]`."""
        return self._map(self._encode, images)

    def decode(self, individual_codes: np.ndarray, class_codes: np.ndarray) -> np.ndarray:
        """Images of as many individual and class codes."""
        return self._map(self._decode, individual_codes, class_codes)

    def at(self, individual_codes: Rows, waypoints: Rows, shifts: Rows) -> np.ndarray:
        """Images `[N, height, width, channels]` at shifts `[N]` of paths `[N, points, size]`."""
        return self._map(self._at, individual_codes, waypoints, shifts)

    def search(
        self,
        individual_codes: Rows,
        waypoints: np.ndarray,
        prediction: np.ndarray,
        target: np.ndarray,
        any_flip: np.ndarray | None = None,
        *,
        confidence: float = 0.9,
        tolerance: float = 1 / 256,
    ) -> Crossings:
        """`counterfactual.search` over any number of rows, in calls of one shape.

        Without `any_flip`, only the target counts as a flip.
        """
        count, batch = len(waypoints), self._search_rows
        any_flip = np.zeros(count, bool) if any_flip is None else any_flip
        padded = np.arange(-(-count // batch) * batch)
        rows = (individual_codes, waypoints, prediction, target, any_flip)
        filled = [Picked(array, np.minimum(padded, count - 1)) for array in rows]
        answer = self._shared(self._search)
        found = map_batches(
            lambda *part: answer(*map(jnp.asarray, part), jnp.asarray(confidence), jnp.asarray(tolerance)),
            *filled,
            padded < count,
            batch_size=batch,
            calls=parallel_calls(),
        )
        return Crossings(*(field[:count] for field in found))

    def code_table(self, source: ImageSource) -> CodeTable:
        """Class codes of a data set's training images, with the classifier's answers to their reconstructions."""
        return make_code_table(
            source,
            lambda images: self._encode(to_unit(images)),
            lambda *codes: self._predict(self._decode(*codes)),
            self._seed,
            self._rows,
        )
