"""Makes the code table of a run, and keeps it in the workdir so that the next start need not encode again."""

import logging
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from cae_jax.classifiers import classes_of
from cae_jax.counterfactual import CodeTable
from cae_jax.parallel.batching import map_batches
from cae_jax.types import ImageSource
from cae_jax.workdir.files import write_npz
from cae_jax.workdir.kept import read_kept

FILE = "code_table.npz"
SIZE = 20_000  # training images whose codes are kept, drawn by the run's seed where there are more
log = logging.getLogger(__name__)


def make_code_table(
    source: ImageSource,
    encode: Callable,
    answer: Callable[[np.ndarray, np.ndarray], np.ndarray],
    seed: int,
    batch_size: int,
) -> CodeTable:
    """Encodes a data set's training images.

    Args:
        source: the images.
        encode: uint8 images to individual and class codes.
        answer: individual and class codes to the classifier's probabilities of the reconstructions.
        seed: of the draw, where the data set is larger than `SIZE`.
        batch_size: rows a call.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(source))[:SIZE])

    def codes_of(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        individual_code, class_code = encode(source.take(indices))
        return class_code, answer(individual_code, class_code)

    class_codes, probabilities = map_batches(codes_of, rows, batch_size=batch_size)
    names = np.asarray([f"train_{row}" for row in rows])
    labels = np.asarray(source.labels)[rows]
    predictions, confidences = classes_of(probabilities), np.nan_to_num(probabilities.max(-1))
    return CodeTable(names, class_codes, labels, predictions, confidences)


def load_code_table(workdir: pathlib.Path, fingerprint: str, data: str | None = None) -> CodeTable | None:
    """Reads the table kept in a workdir, or None where there is none of this model, classifier and data.

    Args:
        workdir: of the run.
        fingerprint: of checkpoint and classifier.
        data: fingerprint of the data set; None where it has not been opened: the table is then what is known of it.
    """
    path = workdir / FILE

    def table(arrays: Mapping[str, np.ndarray]) -> CodeTable | None:
        if data is not None and "data" in arrays and str(arrays["data"]) != data:
            log.warning("the training images have changed since %s was made; it is made again", path)
            return None
        return _whole(CodeTable(**{name: arrays[name] for name in CodeTable._fields}))

    return read_kept(path, table, fingerprint=fingerprint)


def _whole(table: CodeTable) -> CodeTable:
    """The same table; a ValueError if it is none."""
    rows = len(table.class_codes)
    kinds = {"names": "U", "class_codes": "f", "labels": "iu", "predictions": "iu", "confidences": "f"}
    for name, array in table._asdict().items():
        if array.dtype.kind not in kinds[name] or array.ndim != 1 + (name == "class_codes") or len(array) != rows:
            raise ValueError(f"{name} is {array.dtype} {array.shape}")
    return table


def keep_code_table(workdir: pathlib.Path, table: CodeTable, fingerprint: str, data: str) -> None:
    """Writes a table into a workdir; one that cannot be written to costs time at the next start, and says so."""
    try:
        write_npz(workdir / FILE, fingerprint=np.asarray(fingerprint), data=np.asarray(data), **table._asdict())
    except OSError as error:
        log.warning("the code table could not be kept in %s (%s); the next start makes it again", workdir, error)
