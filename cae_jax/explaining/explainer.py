"""The `Explainer`: a trained CAE and its classifier behind the interface that scripts and notebooks use."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.batching import first_call_alone, map_batches, parallel_calls
from cae_jax.classifiers import check_answers
from cae_jax.counterfactual import STRATEGIES, CodeTable, Crossings, along_path, host_while_loop, log_odds, search
from cae_jax.data import Dataset, Format, open_dataset
from cae_jax.explaining.code_tables import keep_code_table, load_code_table, make_code_table
from cae_jax.explaining.engine import (
    Compiled,
    Exemplars,
    Route,
    concatenate,
    explain_batch,
    route_along,
    route_by_strategy,
)
from cae_jax.explaining.inputs import InputError, check_images
from cae_jax.explaining.options import ExplainOptions
from cae_jax.explaining.package import is_package, read_package, write_package
from cae_jax.explaining.requests import Target, check_target, make_requests
from cae_jax.images import to_unit
from cae_jax.models import carried_exemplars, carry_exemplars, draw_on
from cae_jax.training.build import build_model, load_generator
from cae_jax.training.checkpoints import CheckpointError, CheckpointStore
from cae_jax.training.classifier_store import LoadedClassifier, load_named
from cae_jax.training.config import ConfigError
from cae_jax.training.functions import make_codec
from cae_jax.training.run_record import RunRecord, read_record
from cae_jax.training.settings import file_settings
from cae_jax.types import Ending, Explanation

BATCH = 64  # rows a compiled call; memory does not grow with the number of images
SEARCH_BATCH = 96  # rows a call of the search: 64 images toward 3 references are 2 calls
SLOTS = 32  # of them are decoded together
HOST_BATCH = 1024  # rows a call of a classifier that JAX cannot trace
IMAGES = 64  # images explained at once

HostClassifier = Callable[[np.ndarray], np.ndarray]
"""A classifier that JAX cannot trace: `[batch, height, width, channels]` float32 in [0, 1] to probabilities."""


class Explainer:
    """Explains what a classifier sees in images, by the CAE that was trained for it.

    Made by `Explainer.load(workdir)`. Images are `[N, height, width, channels]` (`[N, height, width]` for grey), uint8
    or float in [0, 1], of the trained size or resized with a warning.

    Attributes:
        record: config, class names and image shape of the run.
        step: of the checkpoint.
        params: of the generator.
        classifier: of the workdir.
        fingerprint: of checkpoint and classifier.
    """

    def __init__(
        self,
        record: RunRecord,
        step: int,
        params: Any,
        classifier: LoadedClassifier,
        *,
        workdir: pathlib.Path,
        fingerprint: str,
        host_classifier: HostClassifier | None = None,
    ):
        self.record, self.step = record, step
        self.params, self.classifier = params, classifier
        self.fingerprint = fingerprint + ("-host" if host_classifier else "")
        self._unnamed = host_classifier is not None
        if host_classifier is None and not classifier.traceable:
            host_classifier = classifier.answer
        self._workdir, self._host = workdir, host_classifier is not None
        self._table: CodeTable | None = None
        self._dataset: Dataset | None = None
        self._strategies: dict[tuple[str, float], Any] = {}
        model = build_model(record.config, record.image_shape).clone(forward_only=True)
        self._keeps_residual = model.keep_residual
        encode, decode = make_codec(model, record.image_shape[:2])
        one = jax.ShapeDtypeStruct((1, *record.image_shape), np.float32)
        code_channels = jax.eval_shape(lambda images: encode(params, images)[0], one).shape[-1]

        def draw(individual_code: jax.Array, class_code: jax.Array) -> jax.Array:
            if individual_code.shape[-1] == code_channels:
                return decode(params, individual_code, class_code)
            own, exemplars, reconstructions = carried_exemplars(individual_code, record.image_shape)
            return draw_on(exemplars, reconstructions, decode(params, own, class_code))

        self._shared = functools.cache(first_call_alone)
        self._encode = jax.jit(lambda images: encode(params, images))
        self._decode = jax.jit(draw)
        self._at = jax.jit(lambda code, waypoints, shift: self._decode(code, along_path(waypoints, shift)))
        if host_classifier is None:
            self._predict = jax.jit(classifier.predict)

            def odds(images: jax.Array, classes: jax.Array) -> jax.Array:
                probabilities = jnp.take_along_axis(classifier.predict(images), classes[:, None], axis=-1)
                return log_odds(probabilities[:, 0]).sum()

            self._sensitivity = jax.jit(jax.grad(odds))
            self._search = jax.jit(functools.partial(search, self._decode, self._predict, slots=SLOTS))
        else:
            self._predict = self._checking(host_classifier)
            self._search = functools.partial(search, self._decode, self._predict, while_loop=host_while_loop)

    @classmethod
    def load(cls, workdir: str | pathlib.Path, host_classifier: HostClassifier | None = None) -> "Explainer":
        """Loads the best whole checkpoint of a workdir and its classifier, or a package.

        Args:
            workdir: of a trained run, or a folder that `save_package` wrote.
            host_classifier: explained instead of the workdir's own classifier; it need not be traceable by JAX. Its
                classes must be the run's.

        Raises:
            ConfigError: if the folder holds no run, or a damaged record of one.
            CheckpointError: if it has no whole checkpoint yet, or a damaged classifier.
        """
        workdir = pathlib.Path(workdir)
        record = read_record(workdir)
        if is_package(workdir):
            package = read_package(workdir, record)
            return cls(
                record,
                package.step,
                package.params,
                package.classifier,
                workdir=workdir,
                fingerprint=package.fingerprint,
                host_classifier=host_classifier,
            )
        store = CheckpointStore(workdir / "checkpoints")
        step = store.best()
        if step is None:
            raise CheckpointError(f"{workdir} has no whole checkpoint yet; train it first")
        classifier = load_named(record.config.classifier, workdir / "classifier", "classifier")
        return cls(
            record,
            step,
            load_generator(record.config, record.image_shape, store, step),
            classifier,
            workdir=workdir,
            fingerprint=f"{store.seal(step)[:16]}-{classifier.fingerprint[:16]}",
            host_classifier=host_classifier,
        )

    def save_package(self, out: str | pathlib.Path) -> None:
        """Writes all that explaining needs into a folder that can be given away, see `write_package`.

        Raises:
            InputError: if the folder has something in it, or this explainer's classifier has no name.
        """
        if self._unnamed:
            raise InputError("a classifier that was handed in as a function cannot be packaged; name it in the config")
        try:
            write_package(
                pathlib.Path(out),
                record=self.record,
                step=self.step,
                fingerprint=self.fingerprint,
                params=self.params,
                classifier=self.classifier,
                table=self.code_table,
                metrics=self._workdir / "metrics.json",
            )
        except OSError as error:
            raise InputError(f"the package cannot be written: {error}") from error

    @property
    def differentiable(self) -> bool:
        """Whether JAX can differentiate the classifier, as the saliency 'relevance' needs."""
        return not self._host

    def _checking(self, classifier: HostClassifier) -> Callable[[Any], np.ndarray]:
        return lambda images: check_answers(classifier(np.asarray(images)), len(images), len(self.record.class_names))

    @property
    def image_format(self) -> Format:
        """What image files must be brought to, as the training images were."""
        height, width, channels = self.record.image_shape
        return dataclasses.replace(
            file_settings(self.record.config.data).format,
            size=(height, width),
            channels=channels,
            convert=self.record.config.data.channels != 0,
        )

    @property
    def dataset(self) -> Dataset:
        """The data set of the run, opened when first asked for."""
        if self._dataset is None:
            data = self.record.config.data
            dataset = open_dataset(self.record.data, data.dir, "", file_settings(data))
            if dataset.class_names != self.record.class_names or dataset.image_shape != self.record.image_shape:
                raise ConfigError(f"the data set {self.record.data} is not the one that this workdir was trained on")
            self._dataset = dataset
        return self._dataset

    @property
    def code_table(self) -> CodeTable:
        """Class codes of the training images, with the classifier's answers to their reconstructions."""
        if self._table is None and not self._unnamed:
            self._table = load_code_table(self._workdir, self.fingerprint)
        if self._table is None:
            self._table = make_code_table(
                self.dataset.train,
                lambda images: self._encode(to_unit(images)),
                lambda *codes: self._predict(self._decode(*codes)),
                self.record.config.seed,
                BATCH,
            )
            if not self._unnamed:
                keep_code_table(self._workdir, self._table, self.fingerprint)
        return self._table

    def _map(self, function: Callable, *arrays: np.ndarray) -> Any:
        return map_batches(self._shared(function), *arrays, batch_size=BATCH, calls=parallel_calls())

    def _checked(self, images: np.ndarray) -> np.ndarray:
        return check_images(images, self.record.image_shape)

    def _answers(self, images: np.ndarray) -> np.ndarray:
        if self._host:  # which gets no rows that only fill a batch
            starts = range(0, len(images), HOST_BATCH)
            return np.concatenate([self._predict(images[start : start + HOST_BATCH]) for start in starts])
        answers = self._map(self._predict, images)
        return check_answers(answers, len(images), len(self.record.class_names))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The classifier's probabilities, `[N, K]`.

        Raises:
            InputError: for images that cannot be used, with the index.
            ClassifierError: if its answers are no probabilities.
        """
        return self._answers(self._checked(images))

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Individual codes `[N, h, w, code]` and class codes `[N, size]`."""
        return self._map(self._encode, self._checked(images))

    def decode(self, individual_code: np.ndarray, class_code: np.ndarray) -> np.ndarray:
        """Images `[N, height, width, channels]` in [0, 1] of as many individual and class codes.

        Raises:
            InputError: if their numbers differ.
        """
        if len(individual_code) != len(class_code):
            raise InputError(f"{len(individual_code)} individual codes do not go with {len(class_code)} class codes")
        return self._map(self._decode, np.asarray(individual_code), np.asarray(class_code))

    def search(
        self,
        individual_codes: np.ndarray,
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
        count = len(waypoints)
        any_flip = np.zeros(count, bool) if any_flip is None else any_flip
        batch_size = min(HOST_BATCH, 1 << (count - 1).bit_length()) if self._host else SEARCH_BATCH
        rows = (individual_codes, waypoints, prediction, target, any_flip)
        padded = np.arange(-(-count // batch_size) * batch_size)
        filled = [array[np.minimum(padded, count - 1)] for array in rows]
        answer = self._search if self._host else self._shared(self._search)
        found = map_batches(
            lambda *batch: answer(*map(jnp.asarray, batch), confidence=confidence, tolerance=tolerance),
            *filled,
            padded < count,
            batch_size=batch_size,
            calls=1 if self._host else parallel_calls(),
        )
        return Crossings(*(field[:count] for field in found))

    def at(self, individual_codes: np.ndarray, waypoints: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Images `[N, height, width, channels]` at shifts `[N]` of paths `[N, points, size]`."""
        return self._map(self._at, individual_codes, waypoints, shifts)

    @property
    def traceable(self) -> tuple[Callable, Callable]:
        """`decode` and `predict` as the search calls them."""
        return self._decode, self._predict

    def _compiled(self) -> Compiled:
        return Compiled(
            at=self.at,
            predict=self._answers,
            search=self.search,
            sensitivity=None if self._host else functools.partial(self._map, self._sensitivity),
        )

    def _route(self, options: ExplainOptions, waypoints: np.ndarray | None) -> Route:
        if waypoints is not None:
            return route_along(waypoints)
        key = (options.strategy, options.confidence)
        if key not in self._strategies:
            self._strategies[key] = STRATEGIES[options.strategy](self.code_table, options.confidence)
        return route_by_strategy(self.code_table, self._strategies[key], options)

    def _toward_reference(self, reference: np.ndarray, target: str | np.ndarray, predictions: np.ndarray) -> Any:
        """Waypoints and target for paths to a given image."""
        reference = self._checked(np.asarray(reference)[None])
        wanted = int(self._answers(reference).argmax(-1)[0])
        name = self.record.class_names[wanted]
        if isinstance(target, str) and target == "all":
            raise InputError(f"a reference image has one class, {name}, so target 'all' does not go with it")
        if isinstance(target, np.ndarray) and (target != wanted).any():
            raise InputError(f"the reference image is of class {name}, but the target is another")
        _, code = self.encode(reference)
        return code, np.full(len(predictions), wanted)

    def explain_batches(
        self,
        images: np.ndarray,
        target: Target = "any",
        *,
        reference: np.ndarray | None = None,
        waypoints: np.ndarray | None = None,
        **options: Any,
    ) -> Iterator[Explanation]:
        """`explain` for any number of images, 64 at a time; `image_index` counts over all of them."""
        settings = ExplainOptions(**options)
        images = self._checked(images)
        classes = len(self.record.class_names)
        targets = check_target(target, len(images), classes)
        predictions = self._answers(images).argmax(-1)
        if reference is not None:
            waypoints, targets = self._toward_reference(reference, targets, predictions)
        elif waypoints is not None:
            waypoints = np.asarray(waypoints, np.float32)
            size = self.record.config.model.class_code_size
            if waypoints.shape[-1:] != (size,) or waypoints.ndim not in (2, 3) or 0 in waypoints.shape:
                raise InputError(f"waypoints are [points, {size}] or [N, points, {size}], not {waypoints.shape}")
            if waypoints.ndim == 3 and len(waypoints) != len(images):
                raise InputError(f"{len(waypoints)} rows of waypoints do not go with {len(images)} images")
            if isinstance(targets, str):
                raise InputError("waypoints need a target class: the one at their end")
        compiled = self._compiled()
        for start in range(0, len(images), IMAGES):
            part = slice(start, start + IMAGES)
            codes, class_codes = self.encode(images[part])
            if settings.residual and not self._keeps_residual:
                codes = np.asarray(carry_exemplars(codes, images[part], self.decode(codes, class_codes)))
            exemplars = Exemplars(images[part], predictions[part], codes, class_codes)
            chunk = targets if isinstance(targets, str) else targets[part]
            requests = make_requests(exemplars.predictions, chunk, classes)
            along = waypoints[part] if waypoints is not None and waypoints.ndim == 3 else waypoints
            found = explain_batch(compiled, exemplars, requests, self._route(settings, along), settings)
            found.image_index[:] += start
            yield found

    def explain(
        self,
        images: np.ndarray,
        target: Target = "any",
        *,
        reference: np.ndarray | None = None,
        waypoints: np.ndarray | None = None,
        **options: Any,
    ) -> Explanation:
        """Shifts each image's class code along guided paths until the classifier's answer flips.

        Args:
            images: see the class.
            target: 'any' other class (whichever is confident first), 'all' other classes (a row each), a class for all
                images, or a class for each.
            reference: an image `[height, width, channels]` that the paths lead to, instead of a strategy's choice.
            waypoints: class codes that the paths go through, `[points, size]` or, for each image,
                `[N, points, size]`, from the exemplar's own to the last; `target` is the class there.
            **options: see `ExplainOptions`.

        Returns:
            The record, see `Explanation`.

        Raises:
            InputError: for images, targets or options that cannot be used, with the index.
            ClassifierError: if the classifier's answers are no probabilities.
        """
        parts = list(self.explain_batches(images, target, reference=reference, waypoints=waypoints, **options))
        found = concatenate(parts)
        if reference is not None and (found.status == Ending.ALREADY_TARGET).all():
            name = self.record.class_names[int(found.target[0])]
            raise InputError(f"the reference image is of the exemplar's own class, {name}; take one of another class")
        return found
