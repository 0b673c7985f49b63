"""Class codes of a data set with the classifier's predictions, one row an image, in memory and as a table file.

Both are made part by part, and only a few numbers are kept for each image. Pixels and individual codes are large, so
they are read and computed again whenever they are needed.
"""

import contextlib
import functools
import logging
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import jax
import numpy as np

from cae_jax.classifiers import classes_of
from cae_jax.data import SPLITS
from cae_jax.drafts import drafted
from cae_jax.errors import InputError
from cae_jax.explaining.explainer import Explainer
from cae_jax.file_names import printable
from cae_jax.models import Individual
from cae_jax.parallel.batching import map_batches, rows_of_a_call
from cae_jax.parallel.rows import concatenate, take
from cae_jax.types import ImageSource

CALLS = 8  # compiled calls for which images are read together
log = logging.getLogger(__name__)


def rows_at_once(explainer: Explainer) -> int:
    """Number of images that are read, encoded and decoded together."""
    return CALLS * rows_of_a_call(*explainer.record.image_shape[:2])


class CodePart(NamedTuple):
    """M encoded images of a split.

    Attributes:
        names: split and position of each image, such as `test_7`, `[M]`.
        labels: class numbers by the data set, `[M]`.
        class_codes: class codes, `[M, size]`.
        probabilities: classifier's probabilities for the images, `[M, K]`.
        reconstructed: classifier's probabilities for their reconstructions, `[M, K]`.
    """

    names: np.ndarray
    labels: np.ndarray
    class_codes: np.ndarray
    probabilities: np.ndarray
    reconstructed: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """Whether the classifier gives the reconstruction the same class as the image, `[M]`."""
        return classes_of(self.reconstructed) == self.probabilities.argmax(-1)


@dataclass(eq=False)
class SplitCodes:
    """N encoded images of a data set; an `ImageSource`.

    Attributes:
        explainer: explainer that encoded them.
        names: split and position of each image, such as `test_7`, `[N]`.
        labels: class numbers by the data set, `[N]`.
        class_codes: class codes, `[N, size]`.
        predictions: classifier's class of each image, `[N]`.
        confidences: probability of that class, `[N]`.
        reconstruction_predictions: classifier's class of each reconstruction, `[N]`.
        reconstruction_confidences: probability of that class, `[N]`.
    """

    explainer: Explainer
    names: np.ndarray
    labels: np.ndarray
    class_codes: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray
    reconstruction_predictions: np.ndarray
    reconstruction_confidences: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def select(self, rows: np.ndarray) -> "SplitCodes":
        """The given rows, by row number."""
        return replace(self, **take({field.name: getattr(self, field.name) for field in fields(self)[1:]}, rows))

    def of(self, split: str) -> "SplitCodes":
        """The rows of one split."""
        return self.select(np.char.startswith(self.names, f"{split}_"))

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images `[len(indices), height, width, channels]`, uint8."""
        images = np.empty((len(indices), *self.explainer.record.image_shape), np.uint8)
        places = [name.rpartition("_") for name in self.names[indices].tolist()]
        for split in {split for split, _, _ in places}:
            here = [i for i, place in enumerate(places) if place[0] == split]
            images[here] = self.explainer.dataset.split(split).take(np.asarray([int(places[i][2]) for i in here]))
        return images

    def individual(self, rows: np.ndarray) -> Individual:
        """Computes the individual codes of the given rows."""
        return self.explainer.encode(self.take(rows))[0]

    def drawn(
        self, rows: np.ndarray, class_codes: np.ndarray, function: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Applies a function to images that are decoded from individual codes of these rows and given class codes.

        Args:
            rows: rows whose individual codes are used, `[M]`.
            class_codes: class code of each decoded image, `[M, size]`.
            function: function from images `[batch, height, width, channels]` in [0, 1] to an array `[batch, ...]`.

        Returns:
            The function's results, `[M, ...]`.
        """
        order, step = np.argsort(rows, kind="stable"), rows_at_once(self.explainer)  # so that few are encoded twice
        found = []
        for start in range(0, len(order), step):
            part = order[start : start + step]
            used, place = np.unique(rows[part], return_inverse=True)
            found.append(function(self.explainer.decode(take(self.individual(used), place), class_codes[part])))
        return np.concatenate(found)[np.argsort(order)]


def _encode(explainer: Explainer, source: ImageSource, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Class codes of the given rows, and the classifier's answers to the images and their reconstructions."""
    images = source.take(rows)
    individual, class_codes = explainer.encode(images)
    drawn = explainer.decode(Individual(individual.code), class_codes)  # without anything kept from the exemplars
    return class_codes, explainer.answers(images), explainer.answers(drawn)


def code_parts(
    explainer: Explainer,
    splits: Sequence[str],
    limit: int | None = None,
    report: Callable[[int], object] = lambda images: None,
) -> Iterator[CodePart]:
    """Encodes splits of a run's data set part by part, without images that the classifier has no finite answer to.

    Several processes share the work, and each gets all parts. A warning names images that are left out.

    Args:
        explainer: explainer of the run.
        splits: names of splits: 'train', 'validation', 'test'.
        limit: number of images to take from the start of each split; None for all.
        report: function called after each part with its number of images.

    Raises:
        InputError: if there is no such split, or no image.
    """
    if unknown := set(splits) - set(SPLITS):
        raise InputError(f"no such split: {', '.join(sorted(unknown))}; there are {', '.join(SPLITS)}")
    each = rows_at_once(explainer)
    together = each * jax.process_count()
    empty = True
    for split in splits:
        source = explainer.dataset.split(split)
        encode = functools.partial(_encode, explainer, source)
        everything = np.arange(len(source))[:limit]
        for start in range(0, len(everything), together):
            rows = everything[start : start + together]
            found = map_batches(encode, rows, batch_size=min(each, len(rows)), spread=True)
            report(len(rows))
            names = np.asarray([f"{split}_{row}" for row in rows])
            part = CodePart(names, np.asarray(source.labels)[rows], *found)
            answered = classes_of(part.probabilities) >= 0
            if not answered.all():
                log.warning("left out, as the classifier has no finite answer: %s", ", ".join(names[~answered]))
            if answered.any():
                empty = False
                yield take(part, answered)
    if empty:
        raise InputError(f"no images in {', '.join(splits)}")


def gather_codes(explainer: Explainer, parts: Iterable[CodePart]) -> SplitCodes:
    """Joins encoded parts into `SplitCodes`, which keep only the predicted class and its probability."""
    kept = [
        (
            part.names,
            part.labels,
            part.class_codes,
            part.probabilities.argmax(-1),
            part.probabilities.max(-1),
            classes_of(part.reconstructed),
            part.reconstructed.max(-1),
        )
        for part in parts
    ]
    return SplitCodes(explainer, *concatenate(kept))


def encode_splits(
    explainer: Explainer,
    splits: Sequence[str],
    limit: int | None = None,
    report: Callable[[int], object] = lambda images: None,
) -> SplitCodes:
    """Encodes splits of a run's data set.

    Args:
        explainer: explainer of the run.
        splits: names of splits: 'train', 'validation', 'test'.
        limit: number of images to take from the start of each split; None for all.
        report: function called with a number of images whenever so many more are done.

    Raises:
        InputError: if there is no such split, or no image.
    """
    return gather_codes(explainer, code_parts(explainer, splits, limit, report))


@contextlib.contextmanager
def codes_file(path: pathlib.Path, class_names: Sequence[str]) -> Iterator[Callable[[CodePart], None]]:
    """Writes codes part by part as a table: `.csv` in the published column order, or `.parquet`.

    The columns are the image's name, the class code (0, 1, ...) and the label, as published; then the classifier's
    prediction and its probability, the prediction for the reconstruction, the probability that the reconstruction has
    of the *image's* predicted class, whether the reconstruction keeps that class ('KEPT' or 'NOT_RECONSTRUCTED'), and
    the image's probability of each class.

    Args:
        path: path of the file. It appears when the `with` block ends without an error; an earlier table is replaced.
        class_names: K names of classes.

    Yields:
        A function that writes a part.

    Raises:
        InputError: if the file's name has another ending, an existing file is not a table of codes, or the folder
            cannot be written to.
    """
    import pyarrow

    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"{path} must end in .csv or .parquet")
    if path.exists() and not _is_code_table(path):
        raise InputError(f"{path} is there already and is no table of codes; name another file")
    with _named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        draft, writer = stack.enter_context(drafted(path)), None

        def write(part: CodePart) -> None:
            nonlocal writer
            table = pyarrow.table({name: pyarrow.array(column) for name, column in _columns(part, class_names)})
            with _named_errors(path):
                writer = writer or stack.enter_context(_writer(draft, path.suffix, table.schema))
                writer.write_table(table)

        yield write
        with _named_errors(path):
            stack.close()


@contextlib.contextmanager
def _named_errors(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error


def _columns(part: CodePart, class_names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    predictions = part.probabilities.argmax(-1)
    yield "image", part.names
    yield from ((str(i), part.class_codes[:, i]) for i in range(part.class_codes.shape[1]))
    yield "label", part.labels
    yield "prediction", predictions
    yield "probability", part.probabilities.max(-1)
    yield "reconstruction_prediction", classes_of(part.reconstructed)
    yield "reconstruction_probability", part.reconstructed[np.arange(len(predictions)), predictions]
    yield "ending", np.where(part.kept, "KEPT", "NOT_RECONSTRUCTED")
    yield from ((f"probability_{printable(name)}", part.probabilities[:, i]) for i, name in enumerate(class_names))


def _writer(path: pathlib.Path, kind: str, schema):
    import pyarrow.csv
    import pyarrow.parquet

    return pyarrow.csv.CSVWriter(path, schema) if kind == ".csv" else pyarrow.parquet.ParquetWriter(path, schema)


def _is_code_table(path: pathlib.Path) -> bool:
    import pyarrow
    import pyarrow.parquet

    if path.suffix == ".csv":
        with path.open("rb") as file:
            return file.readline().replace(b'"', b"").startswith(b"image,0,")
    try:
        return pyarrow.parquet.read_schema(path).names[:2] == ["image", "0"]
    except (pyarrow.ArrowException, OSError):
        return False
