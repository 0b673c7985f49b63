"""The codes of a data set with what the classifier says of them: a row an image, in memory and as a table file."""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from cae_jax.batching import map_batches
from cae_jax.data import SPLITS
from cae_jax.explaining.explainer import Explainer
from cae_jax.explaining.inputs import InputError
from cae_jax.types import ImageSource

ROWS = 512  # images read at once


class SplitCodes(NamedTuple):
    """Encoded images of a data set, N rows.

    Attributes:
        names: `[N]`, split and position, as `test_7`.
        images: `[N, height, width, channels]` uint8.
        labels: `[N]`, the data set's own.
        individual_codes: `[N, h, w, code]`.
        class_codes: `[N, size]`.
        probabilities: `[N, K]`, the classifier's of the images.
        reconstructed: `[N, K]`, its probabilities of their reconstructions.
    """

    names: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    individual_codes: np.ndarray
    class_codes: np.ndarray
    probabilities: np.ndarray
    reconstructed: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """The classifier's classes of the images, `[N]`."""
        return self.probabilities.argmax(-1)

    @property
    def kept(self) -> np.ndarray:
        """Whether the reconstruction is of the image's class, `[N]`."""
        return self.reconstructed.argmax(-1) == self.predictions

    def of(self, split: str) -> "SplitCodes":
        """The rows of one split."""
        rows = np.char.startswith(self.names, f"{split}_")
        return SplitCodes(*(field[rows] for field in self))


def _encode(
    explainer: Explainer, source: ImageSource, report: Callable[[int], object], rows: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The fields of `SplitCodes` that are computed, of some rows."""
    images = source.take(rows)
    codes = explainer.encode(images)
    fields = images, *codes, explainer.predict(images), explainer.predict(explainer.decode(*codes))
    report(len(rows) * jax.process_count())
    return fields


def encode_splits(
    explainer: Explainer,
    splits: Sequence[str],
    limit: int | None = None,
    report: Callable[[int], object] = lambda images: None,
) -> SplitCodes:
    """Encodes splits of a run's data set; several processes share the images, and each gets all rows.

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
    parts = []
    for split in splits:
        source = explainer.dataset.split(split)
        rows = np.arange(len(source))[:limit]
        if len(rows):
            encode = functools.partial(_encode, explainer, source, report)
            images, *rest = map_batches(encode, rows, batch_size=min(ROWS, len(rows)), spread=True)
            names = np.asarray([f"{split}_{row}" for row in rows])
            parts.append(SplitCodes(names, images, np.asarray(source.labels)[rows], *rest))
    if not parts:
        raise InputError(f"no images in {', '.join(splits)}")
    return SplitCodes(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def write_codes(path: pathlib.Path, codes: SplitCodes, class_names: Sequence[str]) -> None:
    """Writes codes as a table: `.csv` in the published column order, or `.parquet`.

    Columns are the image's name, the class code (0, 1, ...), the label; then, in addition to what was published, the
    prediction, its probability, the prediction of the reconstruction and the probability of the *same* class there, how
    the reconstruction ended ('KEPT' or 'NOT_RECONSTRUCTED'), and each class's probability.

    Raises:
        InputError: for another ending of the file's name, or a folder that cannot be written to.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"{path} must end in .csv or .parquet")
    rows = np.arange(len(codes.names))
    table = {
        "image": codes.names,
        **{str(i): codes.class_codes[:, i] for i in range(codes.class_codes.shape[1])},
        "label": codes.labels,
        "prediction": codes.predictions,
        "probability": codes.probabilities.max(-1),
        "reconstruction_prediction": codes.reconstructed.argmax(-1),
        "reconstruction_probability": codes.reconstructed[rows, codes.predictions],
        "ending": np.where(codes.kept, "KEPT", "NOT_RECONSTRUCTED"),
        **{f"probability_{name}": codes.probabilities[:, i] for i, name in enumerate(class_names)},
    }
    draft = path.with_name(path.name + ".draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_table(draft, table, path.suffix)
        draft.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _write_table(path: pathlib.Path, columns: dict[str, np.ndarray], kind: str) -> None:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.table({name: pyarrow.array(column) for name, column in columns.items()})
    if kind == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path)
