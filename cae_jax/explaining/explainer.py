"""The `Explainer`: a trained CAE and its classifier behind the interface that scripts and notebooks use."""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.batching import map_batches
from cae_jax.counterfactual import CodeTable, along_path, decide_endings, nearest_references, search
from cae_jax.data import Dataset, open_dataset
from cae_jax.explaining.inputs import InputError, check_images
from cae_jax.training.build import build_model, padded_shape
from cae_jax.training.checkpoints import CheckpointError, CheckpointStore
from cae_jax.training.classifier_store import load_classifier
from cae_jax.training.config import ConfigError
from cae_jax.training.evaluation import make_codec
from cae_jax.training.run_record import RunRecord, read_record
from cae_jax.types import Ending, Explanation, Predict

PATH_IMAGES = 7
BATCH = 128  # rows a compiled call; memory does not grow with the number of images


class Explainer:
    """Explains what a classifier sees in images, by the CAE that was trained for it.

    Made by `Explainer.load(workdir)`. Images are `[N, height, width, channels]` (`[N, height, width]` for grey), uint8
    or float in [0, 1], of the trained size or resized with a warning.

    Attributes:
        record: config, class names and image shape of the run.
        step: of the checkpoint.
    """

    def __init__(self, record: RunRecord, step: int, params: Any, predict: Predict):
        self.record, self.step = record, step
        self._table: CodeTable | None = None
        self._dataset: Dataset | None = None
        encode, decode = make_codec(build_model(record.config, record.image_shape), record.image_shape[:2])
        self._predict = jax.jit(predict)
        self._encode = jax.jit(lambda images: encode(params, images))
        self._decode = jax.jit(lambda individual_code, class_code: decode(params, individual_code, class_code))
        self._at = jax.jit(
            lambda code, start, end, shift: self._decode(
                code, along_path(start, end, jnp.broadcast_to(shift, len(code)))
            )
        )
        self._search = jax.jit(
            functools.partial(search, self._decode, self._predict),
            static_argnames=("any_flip", "confidence", "tolerance"),
        )

    @classmethod
    def load(cls, workdir: str | pathlib.Path) -> "Explainer":
        """Loads the best whole checkpoint of a workdir and its classifier.

        Raises:
            ConfigError: if the folder holds no run, or a damaged record of one.
            CheckpointError: if it has no whole checkpoint yet, or a damaged classifier.
        """
        workdir = pathlib.Path(workdir)
        record = read_record(workdir)
        store = CheckpointStore(workdir / "checkpoints")
        step = store.best()
        if step is None:
            raise CheckpointError(f"{workdir} has no whole checkpoint yet; train it first")
        path = record.config.classifier.path
        classifier = load_classifier(pathlib.Path(path) if path else workdir / "classifier")
        model = build_model(record.config, record.image_shape)
        images = jax.ShapeDtypeStruct((1, *padded_shape(model, record.image_shape)), np.float32)
        like = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
        return cls(record, step, store.load(step, "ema", like), classifier.predict)

    @property
    def dataset(self) -> Dataset:
        """The data set of the run, opened when first asked for."""
        if self._dataset is None:
            dataset = open_dataset(self.record.data, self.record.config.data.dir)
            if dataset.class_names != self.record.class_names or dataset.image_shape != self.record.image_shape:
                raise ConfigError(f"the data set {self.record.data} is not the one that this workdir was trained on")
            self._dataset = dataset
        return self._dataset

    @property
    def code_table(self) -> CodeTable:
        """Class codes of the training images, with the classifier's answers to their reconstructions."""
        if self._table is None:
            source = self.dataset.train

            def row(indices):
                individual_code, class_code = self._encode(source.take(indices))
                return class_code, self._predict(self._decode(individual_code, class_code))

            class_codes, probabilities = map_batches(row, np.arange(len(source)), batch_size=BATCH)
            self._table = CodeTable(class_codes, probabilities.argmax(-1), probabilities.max(-1))
        return self._table

    def _checked(self, images: np.ndarray) -> np.ndarray:
        return check_images(images, self.record.image_shape)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The classifier's probabilities, `[N, K]`."""
        return map_batches(self._predict, self._checked(images), batch_size=BATCH)

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Individual codes `[N, h, w, code]` and class codes `[N, size]`."""
        return map_batches(self._encode, self._checked(images), batch_size=BATCH)

    def decode(self, individual_code: np.ndarray, class_code: np.ndarray) -> np.ndarray:
        """Images `[N, height, width, channels]` in [0, 1] of as many individual and class codes.

        Raises:
            InputError: if their numbers differ.
        """
        if len(individual_code) != len(class_code):
            raise InputError(f"{len(individual_code)} individual codes do not go with {len(class_code)} class codes")
        return map_batches(self._decode, np.asarray(individual_code), np.asarray(class_code), batch_size=BATCH)

    def _rows(
        self, predictions: np.ndarray, target: str | int | Sequence[int] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which image each row explains and the class it aims at, -1 for any."""
        classes, count = len(self.record.class_names), len(predictions)
        everyone = np.arange(count)
        if isinstance(target, str):
            if target == "any":
                return everyone, np.full(count, -1)
            if target == "all":
                image_index = np.repeat(everyone, classes)
                targets = np.tile(np.arange(classes), count)
                others = targets != predictions[image_index]
                return image_index[others], targets[others]
            raise InputError(f"target is 'any', 'all', a class or an array of classes, not {target!r}")
        targets = np.asarray(target)
        if not np.issubdtype(targets.dtype, np.integer) or targets.ndim > 1:
            raise InputError(f"target must be a class number or a list of them, not {target!r}")
        if targets.ndim == 1 and len(targets) != count:
            raise InputError(f"{len(targets)} targets do not go with {count} images")
        for value in np.unique(targets):
            if not 0 <= value < classes:
                raise InputError(f"target class {value} does not exist; the classes are 0 to {classes - 1}")
        return everyone, np.broadcast_to(targets, count).astype(int)

    def explain(
        self,
        images: np.ndarray,
        target: str | int | Sequence[int] | np.ndarray = "any",
        *,
        confidence: float = 0.9,
        tolerance: float = 1 / 256,
    ) -> Explanation:
        """Shifts each image's class code toward a reference until the classifier's answer flips.

        Args:
            images: see the class.
            target: 'any' other class (the nearest reference decides which), 'all' other classes (a row each), a class
                for all images, or a class for each.
            confidence: the target's probability that a counterfactual must reach, and a reference must have.
            tolerance: of `flip_shift` and `shift`.

        Returns:
            The record, see `Explanation`.

        Raises:
            InputError: for images or targets that cannot be used, with the index.
        """
        if not 0.0 < confidence <= 1.0 or not 0.0 < tolerance <= 1.0:
            raise InputError(f"confidence and tolerance must lie in (0, 1], not {confidence} and {tolerance}")
        images = self._checked(images)
        predictions = map_batches(self._predict, images, batch_size=BATCH).argmax(-1)
        individual_codes, class_codes = map_batches(self._encode, images, batch_size=BATCH)
        image_index, aims = self._rows(predictions, target)
        prediction, start = predictions[image_index], class_codes[image_index]

        table = self.code_table
        references = nearest_references(table, start, prediction, aims, confidence)
        has_reference = references >= 0
        end = np.where(has_reference[:, None], table.class_codes[references], start)
        targets = np.where(aims >= 0, aims, np.where(has_reference, table.predictions[references], -1))

        def explore(rows):
            code, s, e = individual_codes[image_index[rows]], start[rows], end[rows]
            crossings = self._search(
                code,
                s,
                e,
                prediction[rows],
                np.maximum(targets[rows], 0),
                any_flip=isinstance(target, str) and target == "any",
                confidence=confidence,
                tolerance=tolerance,
            )
            shifts = np.linspace(0.0, 1.0, PATH_IMAGES, dtype=np.float32)
            path = [self._at(code, s, e, shift) for shift in shifts]
            stop = np.nan_to_num(crossings.shift, nan=1.0)
            return {
                "crossings": crossings,
                "counterfactual": self._at(code, s, e, stop),
                "path_images": np.stack(path, axis=1),
                "path_probabilities": np.stack([self._predict(step) for step in path], axis=1),
            }

        found = map_batches(explore, np.arange(len(image_index)), batch_size=BATCH)
        flip_shift, shift, start_prediction = found["crossings"]
        status = decide_endings(prediction, targets, has_reference, start_prediction, flip_shift, shift)
        pathless = ~np.isin(status, (Ending.FLIPPED, Ending.WEAK, Ending.NOT_FLIPPED))
        flip_shift, shift = np.where(pathless, np.nan, flip_shift), np.where(pathless, np.nan, shift)
        change = (found["counterfactual"] - found["path_images"][:, 0]).mean(-1)
        return Explanation(
            image_index=image_index,
            prediction=prediction,
            target=targets,
            status=status,
            flip_shift=flip_shift,
            shift=shift,
            counterfactual=found["counterfactual"],
            saliency=np.where(np.isnan(shift)[:, None, None], 0.0, change),
            path_shifts=np.linspace(0.0, 1.0, PATH_IMAGES),
            path_images=found["path_images"],
            path_probabilities=found["path_probabilities"],
        )
