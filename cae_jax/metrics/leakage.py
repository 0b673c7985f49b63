"""Leakage: how well freshly fitted probes predict the class from individual codes, which should not carry it."""

from collections.abc import Callable

import jax
import numpy as np

from cae_jax.metrics import probes
from cae_jax.metrics.swaps import majority_share
from cae_jax.parallel.batching import map_batches, rows_of_a_call
from cae_jax.types import ImageSource

SAMPLE_BYTES = 512 * 2**20  # limit for the codes that a probe is fitted to, and for its weights while it is fitted
FITTING = 24 * 8  # bytes that fitting needs for each weight: the solver keeps ten steps and gradients in float64


def probe_rows(count: int, code: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Chooses the rows that probes are fitted to: all, or a random sample of as many as fit into `SAMPLE_BYTES`.

    Args:
        count: number of rows to choose from.
        code: code of one row, for its size.
        classes: number of classes that a probe tells apart.
        seed: seed of the sample.

    Returns:
        Row numbers in ascending order.
    """
    most = SAMPLE_BYTES // code.nbytes
    if classes * min(code.size, most) * FITTING > SAMPLE_BYTES:
        most = min(most, SAMPLE_BYTES // (classes * FITTING))
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[: max(most, 1)])


def individual_code_leakage(
    encode: Callable[[np.ndarray], np.ndarray],
    train: ImageSource,
    train_predictions: np.ndarray,
    source: ImageSource,
    predictions: np.ndarray,
    seed: int,
) -> dict[str, float]:
    """Measures how well two probes, one linear and one convolutional, predict the class from individual codes.

    The probes are fitted to the codes of the training images, or of a sample of them (see `probe_rows`), and scored on
    every held-out image. Codes are computed a few images at a time, and only those of the sample are kept.

    Args:
        encode: function from uint8 images to individual codes `[batch, h, w, code]`, which must not carry the
            exemplars.
        train: training images.
        train_predictions: classifier's class of each training image, `[N]`.
        source: held-out images.
        predictions: classifier's class of each held-out image, `[M]`.
        seed: seed of the sample and of the convolutional probe.

    Returns:
        Numbers by name: `individual_code_leakage`, the higher accuracy of the two probes, in [0, 1]; with the suffixes
        `_linear` and `_convolutional`, the accuracy of each; with `_chance`, the share of the most frequent class,
        which a probe reaches where nothing leaks; and with `_images`, the number of images that the probes were fitted
        to.
    """
    rows = rows_of_a_call(*train.take(np.arange(1)).shape[1:3])
    codes_of = lambda source: lambda batch: np.asarray(encode(source.take(batch)))  # noqa: E731
    one = codes_of(train)(np.zeros(rows, np.int64))[0]
    sample = probe_rows(len(train), one, int(train_predictions.max()) + 1, seed)
    codes = np.empty((len(sample), *one.shape), one.dtype)
    together = rows * jax.process_count()  # one compiled call in each process
    for start in range(0, len(sample), together):
        part = slice(start, start + together)
        codes[part] = map_batches(codes_of(train), sample[part], batch_size=rows, spread=True)
    known = train_predictions[sample]
    fitted = probes.fit_linear_probe(codes, known), probes.fit_convolutional_probe(codes, known, seed=seed)

    def ask(batch: np.ndarray) -> list[np.ndarray]:
        held_out = codes_of(source)(batch)
        return [probe(held_out) for probe in fitted]

    answers = map_batches(ask, np.arange(len(source)), batch_size=rows, spread=True)
    linear, convolutional = (float((answer == predictions).mean()) for answer in answers)
    return {
        "individual_code_leakage": max(linear, convolutional),
        "individual_code_leakage_linear": linear,
        "individual_code_leakage_convolutional": convolutional,
        "individual_code_leakage_chance": majority_share(predictions),
        "individual_code_leakage_images": len(sample),
    }
