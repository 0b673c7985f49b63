"""The `Explainer`: the interface of a trained CAE and its classifier for scripts and notebooks."""

import dataclasses
import logging
import pathlib
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cae_jax.classifiers import ASKED, ClassifierError, classes_of
from cae_jax.config.reading import ConfigError
from cae_jax.config.settings import file_settings
from cae_jax.counterfactual import STRATEGIES, CodeTable, find_shortfalls
from cae_jax.data import Dataset, Format, in_order, open_dataset
from cae_jax.errors import InputError
from cae_jax.explaining import hub
from cae_jax.explaining.compiled_model import CompiledModel
from cae_jax.explaining.engine import (
    MEMORY,
    Exemplars,
    Route,
    concatenate,
    explain_batch,
    route_along,
    route_by_strategy,
    rows_at_once,
)
from cae_jax.explaining.inputs import Images, as_array, check_images
from cae_jax.explaining.loading import find_explainer, load_parts
from cae_jax.explaining.package import (
    Parts,
    check_new,
    halved,
    is_package,
    keep_code_table,
    load_code_table,
    write_package,
)
from cae_jax.explaining.requests import Aim, Target, check_fixed, check_target, check_waypoints, make_requests
from cae_jax.models import Individual
from cae_jax.options import TYPICAL, Confidence, ExplainOptions, read_options
from cae_jax.parallel import rows
from cae_jax.types import Ending, Explanation, HostClassifier

IMAGES = 64  # images that are explained together
log = logging.getLogger(__name__)


def check_reference(endings: Sequence[Ending], class_name: str) -> None:
    """Checks that not all images were of the reference's class already, since then there was nothing to explain.

    Args:
        endings: ending of each explanation.
        class_name: name of the reference's class.

    Raises:
        InputError: if all were.
    """
    if all(ending == Ending.ALREADY_TARGET for ending in endings):
        raise InputError(f"the reference image is of the exemplar's own class, {class_name}; take one of another class")


class Explainer:
    """Explains a classifier's decisions on images, with the CAE that was trained for it.

    Create it with `Explainer.load(workdir)`. Methods take images `[N, height, width, channels]` (or
    `[N, height, width]` for grey), uint8 or float in [0, 1]; images of another than the trained size are resized, with
    a warning.

    Attributes:
        record: config, class names and image shape of the run.
        step: training step of the checkpoint.
        params: parameters of the generator.
        classifier: classifier that is explained.
        fingerprint: fingerprint of checkpoint and classifier.
        verdict: why the model's explanations are not to be relied on ('collapsed', 'fools the classifier' or 'weak',
            with figures of the validation split), and what to do; '' if nothing is known against them.
        model: generator and classifier as compiled functions of any number of rows.
    """

    def __init__(self, parts: Parts, workdir: pathlib.Path):
        self._parts, self._workdir = parts, workdir
        self.record, self.step, self.params, self.classifier, self.fingerprint, self.verdict = parts
        self._check = self.classifier.check
        host = None if self.classifier.traceable else self.classifier.answer
        self.model = CompiledModel(self.record, self.params, self.classifier.predict, host)
        self._table: CodeTable | None = None
        self._dataset: Dataset | None = None
        self._strategies: dict[tuple[str, Confidence], Any] = {}

    @classmethod
    def load(cls, workdir: str | pathlib.Path, host_classifier: HostClassifier | None = None) -> "Explainer":
        """Loads the best complete checkpoint of a workdir and its classifier, or a package.

        Args:
            workdir: folder of a trained run, or a folder that `save_package` wrote; or, where no such path exists, the
                name of an explainer that comes along, such as 'mnist'; or the address of a package on the Hugging Face
                Hub, `hf://OWNER/NAME` or, of one commit, tag or branch, `hf://OWNER/NAME@REVISION`.
            host_classifier: function to explain instead of the workdir's own classifier, which is then not opened. JAX
                need not be able to trace it. Its classes must be those of the run. It is required for a package whose
                classifier is code, and for a run that was trained for a function that was handed in.

        Raises:
            ConfigError: if there is no such folder, or it holds no run, or a damaged record of one.
            CheckpointError: if there is no complete checkpoint yet, or the classifier is damaged or not the one that
                the CAE was trained for; if a package is damaged, or its classifier is code.
            HubError: if the package cannot be brought from the hub.
        """
        workdir = find_explainer(workdir)
        parts = load_parts(workdir, host_classifier)
        if parts.verdict:
            log.warning("%s is not to be relied on: %s", workdir, parts.verdict)
        return cls(parts, workdir)

    def save_package(
        self, out: str | pathlib.Path, *, half: bool = False, note: str = "", license: str = "", push: str = ""
    ) -> str:
        """Writes all that is needed to explain images into a self-contained folder, see `write_package`.

        Args:
            out: path of a new or empty folder.
            half: whether to round the weights to half precision, for a package of half the size. The class codes of
                the training images are then computed again, so the data must be there.
            note: text for the model card, such as how the model was made.
            license: identifier of the licence for the model card, such as 'apache-2.0'; none if empty.
            push: repository on the Hugging Face Hub to upload the package to, OWNER/NAME; none if empty. If there is
                no such repository, a private one is made.

        Returns:
            What `load` takes to load what was uploaded, by its commit; '' if nothing was.

        Raises:
            InputError: if the folder is not empty or cannot be written to, if the classifier was passed as a function
                that answers otherwise than the one that the CAE was trained for, if a weight is too large for half
                precision, or if the licence is no identifier.
            HubError: if the package cannot be uploaded.
        """
        if not re.fullmatch(r"[a-z0-9.-]*", license):
            raise InputError(f"{license!r} is no identifier of a licence: write it like apache-2.0, cc-by-4.0 or other")
        if push:
            hub.check_repository(push)
        if self._unnamed:
            raise InputError("a classifier that was handed in as a function cannot be packaged; name it in the config")
        try:
            check_new(pathlib.Path(out))
            if half:
                parts = halved(self._parts)
                table = Explainer(parts, self._workdir).model.code_table(self.dataset.train)
            else:
                parts, table = self._parts, self.code_table
            address = f"{hub.SCHEME}{push}" if push else "THIS_FOLDER"
            write_package(pathlib.Path(out), parts, table, self._workdir, note=note, license=license, address=address)
        except OSError as error:
            raise InputError(f"the package cannot be written: {error}") from error
        return hub.upload(pathlib.Path(out), push) if push else ""

    @property
    def image_format(self) -> Format:
        """The format that image files are converted to: that of the training images."""
        height, width, channels = self.record.image_shape
        wanted = file_settings(self.record.config.data).format
        return dataclasses.replace(wanted.settled((height, width), channels), scale=True)

    @property
    def dataset(self) -> Dataset:
        """The data set of the run, opened at first use.

        Raises:
            ConfigError: if its classes or image shape are no longer those of the run.
        """
        if self._dataset is None:
            data = self.record.config.data
            dataset = open_dataset(self.record.data, data.dir, "", file_settings(data, self._workdir, strict=False))
            if set(dataset.class_names) == set(self.record.class_names):  # an older run may have them in another order
                dataset = in_order(dataset, self.record.class_names)
            if dataset.class_names != self.record.class_names or dataset.image_shape != self.record.image_shape:
                raise ConfigError(f"the data set {self.record.data} is not the one that this workdir was trained on")
            if dataset.listing is None and self.record.fingerprint not in ("", dataset.fingerprint):
                log.warning(
                    "%s has changed since this run was trained on it: images of its test split may be ones that it was "
                    "trained on",
                    self.record.data,
                )
            self._dataset = dataset
        return self._dataset

    @property
    def _unnamed(self) -> bool:
        """Whether the classifier was passed as a function."""
        return not self.classifier.facts

    @property
    def code_table(self) -> CodeTable:
        """Class codes of the training images, with the classifier's answers to them and their reconstructions.

        A saved table is used if it belongs to this checkpoint and classifier and, if the workdir's data set has been
        opened, to these data. Otherwise it is computed and, where that is possible, saved.
        """
        packed = is_package(self._workdir)
        if self._table is None:
            data = None if self._dataset is None or packed else self._dataset.fingerprint
            self._table = load_code_table(self._workdir, self.fingerprint, data)
        if self._table is None:
            self._table = self.model.code_table(self.dataset.train)
            if not self._unnamed and not packed:
                keep_code_table(self._workdir, self._table, self.fingerprint, self.dataset.fingerprint)
        return self._table

    def _checked(self, images: Images) -> np.ndarray:
        return check_images(images, self.record.image_shape)

    def predict(self, images: Images) -> np.ndarray:
        """The classifier's probabilities for images, `[N, K]`.

        Raises:
            InputError: for images that cannot be used; it names the index.
            ClassifierError: if the answers are not probabilities, or not finite; it names the index.
        """
        answers = self.answers(images)
        broken = np.flatnonzero(np.isnan(answers).any(-1))
        if len(broken):
            raise ClassifierError(f"the classifier's answer to image {broken[0]} is not finite")
        return answers

    def answered(self, images: Images) -> np.ndarray:
        """Whether the classifier has a finite answer to each image, `[N]`."""
        return classes_of(self.answers(images)) >= 0

    def answers(self, images: Images) -> np.ndarray:
        """Like `predict`, but with rows of NaN where the classifier has no finite answer."""
        images = self._checked(images)
        if self._check is not None and self._check(images[:ASKED], self.record.class_names):
            self._check = None  # a classifier that was not trained here is checked at the first call
        return self.model.predict(images)

    def encode(self, images: Images) -> tuple[Individual, np.ndarray]:
        """Encodes images into individual codes (see `Individual`) and class codes `[N, size]`.

        Raises:
            InputError: for images that cannot be used; it names the index.
        """
        return self.model.encode(self._checked(images))

    def decode(self, individual: Individual | np.ndarray, class_code: np.ndarray) -> np.ndarray:
        """Decodes individual codes and class codes into images `[N, height, width, channels]` in [0, 1].

        Args:
            individual: individual codes as `encode` returns them, or their `code` alone, `[N, h, w, code]`.
            class_code: class codes, `[N, size]`.

        Raises:
            InputError: if there are not as many of one as of the other.
        """
        if not isinstance(individual, Individual):
            individual = Individual(np.asarray(individual))
        if (codes := rows.count(individual)) != len(class_code):
            raise InputError(f"{codes} individual codes do not go with {len(class_code)} class codes")
        return self.model.decode(rows.on_host(individual), np.asarray(class_code))

    def _route(self, options: ExplainOptions, waypoints: np.ndarray | None) -> Route:
        if waypoints is not None:
            return route_along(waypoints)
        key = (options.strategy, options.confidence)
        if key not in self._strategies:
            self._strategies[key] = STRATEGIES[options.strategy](self.code_table, options.confidence)
        return route_by_strategy(self.model, self.code_table, self._strategies[key], options)

    def toward_reference(
        self, reference: Images, target: Aim | np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Waypoints `[1, size]` and targets `[count]` for the paths of `count` images to a given reference image.

        Args:
            reference: image `[height, width, channels]`.
            target: what was asked for, as `check_target` returns it.
            count: number of images.

        Raises:
            InputError: if the reference cannot be used, or its class contradicts the target.
        """
        reference = as_array(reference)
        if reference.ndim > 3:
            raise InputError(f"the reference is one image [height, width, channels], not {reference.shape}")
        reference = self._checked(reference[None])
        wanted = int(classes_of(self.answers(reference))[0])
        if wanted < 0:
            raise InputError("the classifier has no finite answer to the reference image; take another")
        name = self.record.class_names[wanted]
        if target is Aim.ALL:
            raise InputError(f"a reference image has one class, {name}, so target 'all' does not go with it")
        if isinstance(target, np.ndarray) and (target != wanted).any():
            raise InputError(f"the reference image is of class {name}, but the target is another")
        _, code = self.encode(reference)
        return code, np.full(count, wanted)

    def explain_batches(
        self,
        images: Images,
        target: Target = Aim.ANY,
        *,
        reference: Images | None = None,
        waypoints: np.ndarray | None = None,
        fixed: np.ndarray | None = None,
        **options: Any,
    ) -> Iterator[Explanation]:
        """Like `explain`, but yields the record in parts, so that memory does not grow with the number of images.

        A part holds some images, or some rows of one image; the rows of a request are always in one part. `image_index`
        refers to all images. Arguments and errors are those of `explain`.
        """
        settings = read_options(options)
        images = self._checked(images)
        classes = len(self.record.class_names)
        targets = check_target(target, len(images), self.record.class_names)
        answers = self.answers(images)
        predictions = classes_of(answers)
        if reference is not None:
            waypoints, targets = self.toward_reference(reference, targets, len(images))
        elif waypoints is not None:
            size = self.record.config.model.class_code_size
            waypoints = check_waypoints(waypoints, targets, len(images), size)
        if fixed is not None:
            fixed = check_fixed(fixed, len(images), self.record.image_shape[:2])
        table = self.code_table if waypoints is None or settings.confidence == TYPICAL else None
        together = min(max(MEMORY // (4 * (self.model.code_size + 4 * images[0].size)), 1), IMAGES)
        for start in range(0, len(images), together):
            part = slice(start, start + together)
            individual, class_codes = self.model.encode(images[part], settings.residual, answers[part])
            if fixed is not None:
                individual = self.model.fix(individual, class_codes, fixed[part])
            exemplars = Exemplars(images[part], predictions[part], individual, class_codes)
            requests = make_requests(predictions[part], targets if isinstance(targets, Aim) else targets[part], classes)
            along = waypoints[part] if waypoints is not None and waypoints.ndim == 3 else waypoints
            route, most = self._route(settings, along), rows_at_once(exemplars, classes, settings)
            for first in range(0, len(requests.aim), most):
                asked = rows.take(requests, slice(first, first + most))
                found = explain_batch(self.model, exemplars, asked, route, table, settings)
                found.image_index[:] += start
                yield found

    def explain(
        self,
        images: Images,
        target: Target = Aim.ANY,
        *,
        reference: Images | None = None,
        waypoints: np.ndarray | None = None,
        fixed: np.ndarray | None = None,
        **options: Any,
    ) -> Explanation:
        """Shifts each image's class code along guided paths until the classifier's answer flips.

        Args:
            images: images `[N, height, width, channels]` (or `[N, height, width]` for grey), uint8 or float in [0, 1].
            target: 'any' for whichever other class becomes confident first, 'all' for every other class (a row each), a
                class for all images, or a class for each. Classes are given by name or number. Names of classes take
                precedence: if a class is called 'any', 'all' or '3', that class is meant.
            reference: image `[height, width, channels]` that all paths lead to, instead of references that a strategy
                chooses.
            waypoints: class codes that the paths go through after the exemplar's own, `[points, size]` for all images
                or `[N, points, size]` for each; `target` must be the class at the last one.
            fixed: mask of what must not change, `[height, width]` for all images or `[N, height, width]`, true where
                images on a path stay what they are at its start: the reconstruction, or with the option `residual` the
                exemplar itself.
            **options: fields of `ExplainOptions`.

        Returns:
            The record of all explanations. If fewer diverse counterfactuals were found than asked for, a warning says
            so; `find_shortfalls` tells why.

        Raises:
            InputError: for images, targets or options that cannot be used; it names the index of an image.
            ClassifierError: if the classifier's answers are not probabilities.
        """
        given = {"reference": reference, "waypoints": waypoints, "fixed": fixed}
        parts = list(self.explain_batches(images, target, **given, **options))
        found = concatenate(parts)
        if reference is not None:
            check_reference([Ending(status) for status in found.status], self.record.class_names[int(found.target[0])])
        if fewer := find_shortfalls(found, wanted := read_options(options).diverse):
            several = len(np.flatnonzero(found.answer == 0))
            warnings.warn(
                f"{wanted} answers were asked for; {len(fewer)} of {several} have fewer, such as: {fewer[0].why}",
                stacklevel=2,
            )
        return found
