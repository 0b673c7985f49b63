"""The codes of a data set with what the classifier says of them: a row an image, in memory and as a table file.

Both are made part by part. What is kept of an image are a few numbers: pixels and individual codes, of which thousands
would fill any memory, are read and computed again where somebody asks for them.
"""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import jax
import numpy as np

from cae_jax.data import SPLITS
from cae_jax.drafts import drafted
from cae_jax.errors import InputError
from cae_jax.explaining.explainer import Explainer
from cae_jax.models import Individual
from cae_jax.parallel.batching import map_batches, rows_of_a_call
from cae_jax.parallel.rows import concatenate, take
from cae_jax.types import ImageSource

CALLS = 8  # compiled calls whose images are read at once


def rows_at_once(explainer: Explainer) -> int:
    """How many images are read, encoded and drawn together."""
    return CALLS * rows_of_a_call(*explainer.record.image_shape[:2])


class CodePart(NamedTuple):
    """Some encoded images of a split, M rows.

    Attributes:
        names: `[M]`, split and position, as `test_7`.
        labels: `[M]`, the data set's own.
        class_codes: `[M, size]`.
        probabilities: `[M, K]`, the classifier's of the images.
        reconstructed: `[M, K]`, its probabilities of their reconstructions.
    """

    names: np.ndarray
    labels: np.ndarray
    class_codes: np.ndarray
    probabilities: np.ndarray
    reconstructed: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """Whether the reconstruction is of the image's class, `[M]`."""
        return self.reconstructed.argmax(-1) == self.probabilities.argmax(-1)


@dataclass(eq=False)
class SplitCodes:
    """Encoded images of a data set, N rows; an `ImageSource`.

    Attributes:
        explainer: that encoded them.
        names: `[N]`, split and position, as `test_7`.
        labels: `[N]`, the data set's own.
        class_codes: `[N, size]`.
        predictions: `[N]`, the classifier's classes of the images.
        confidences: `[N]`, their probabilities.
        reconstruction_predictions: `[N]`, its classes of their reconstructions.
        reconstruction_confidences: `[N]`, their probabilities.
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

    @property
    def kept(self) -> np.ndarray:
        """Whether the reconstruction is of the image's class, `[N]`."""
        return self.reconstruction_predictions == self.predictions

    def select(self, rows: np.ndarray) -> "SplitCodes":
        """Some of the rows."""
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
        """Individual codes of some images, computed again."""
        return self.explainer.encode(self.take(rows))[0]

    @property
    def images(self) -> np.ndarray:
        """All images, uint8; for as many as fit into memory."""
        return self.take(np.arange(len(self)))

    def drawn(
        self, rows: np.ndarray, class_codes: np.ndarray, function: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """What a function says of images that are drawn with individual codes of these and other class codes.

        Args:
            rows: `[M]`, whose individual codes are taken.
            class_codes: `[M, size]`.
            function: images `[batch, height, width, channels]` in [0, 1] to an array `[batch, ...]`.
        """
        order, step = np.argsort(rows, kind="stable"), rows_at_once(self.explainer)  # each is encoded once, or nearly
        found = []
        for start in range(0, len(order), step):
            part = order[start : start + step]
            used, place = np.unique(rows[part], return_inverse=True)
            found.append(function(self.explainer.decode(take(self.individual(used), place), class_codes[part])))
        return np.concatenate(found)[np.argsort(order)]


def _encode(explainer: Explainer, source: ImageSource, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Class codes, probabilities, and those of the reconstructions, of some rows."""
    images = source.take(rows)
    codes = explainer.encode(images)
    return codes[1], explainer.predict(images), explainer.predict(explainer.decode(*codes))


def code_parts(
    explainer: Explainer,
    splits: Sequence[str],
    limit: int | None = None,
    report: Callable[[int], object] = lambda images: None,
) -> Iterator[CodePart]:
    """Encodes splits of a run's data set part by part; several processes share the images, and each gets all rows.

    Args:
        explainer: of the run.
        splits: some of 'train', 'validation', 'test'.
        limit: images of each split, the first ones.
        report: called with the number of images done, again and again.

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
            empty = False
            yield CodePart(names, np.asarray(source.labels)[rows], *found)
    if empty:
        raise InputError(f"no images in {', '.join(splits)}")


def gather_codes(explainer: Explainer, parts: Iterable[CodePart]) -> SplitCodes:
    """What is kept of parts."""
    kept = [
        (
            part.names,
            part.labels,
            part.class_codes,
            part.probabilities.argmax(-1),
            part.probabilities.max(-1),
            part.reconstructed.argmax(-1),
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
    """The codes of splits of a run's data set; for arguments and errors see `code_parts`."""
    return gather_codes(explainer, code_parts(explainer, splits, limit, report))


@contextlib.contextmanager
def codes_file(path: pathlib.Path, class_names: Sequence[str]) -> Iterator[Callable[[CodePart], None]]:
    """Writes codes part by part as a table: `.csv` in the published column order, or `.parquet`.

    Columns are the image's name, the class code (0, 1, ...), the label; then, in addition to what was published, the
    prediction, its probability, the prediction of the reconstruction and the probability of the *same* class there, how
    the reconstruction ended ('KEPT' or 'NOT_RECONSTRUCTED'), and each class's probability.

    Args:
        path: of the file, which appears when the block is left, unless by an error. An earlier table is replaced.
        class_names: K names.

    Yields:
        What writes a part.

    Raises:
        InputError: for another ending of the file's name, a file that is no table of codes, or a folder that cannot be
            written to.
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
    yield "reconstruction_prediction", part.reconstructed.argmax(-1)
    yield "reconstruction_probability", part.reconstructed[np.arange(len(predictions)), predictions]
    yield "ending", np.where(part.kept, "KEPT", "NOT_RECONSTRUCTED")
    yield from ((f"probability_{name}", part.probabilities[:, i]) for i, name in enumerate(class_names))


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
