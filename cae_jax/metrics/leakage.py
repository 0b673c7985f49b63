"""What individual codes tell of the class: how well fresh probes read it from them."""

from collections.abc import Callable

import jax
import numpy as np

from cae_jax.metrics import probes
from cae_jax.metrics.swaps import majority_share
from cae_jax.parallel.batching import map_batches, rows_of_a_call
from cae_jax.types import ImageSource

SAMPLE_BYTES = 512 * 2**20  # that a probe's codes take, and its weights with what fitting them needs, at most
FITTING = 24 * 8  # bytes that fitting takes for a weight: the solver keeps ten steps and gradients in float64


def probe_rows(count: int, code: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """The rows that probes are fitted to: all of `count`, or a random sample of as many as fit into `SAMPLE_BYTES`.

    Args:
        count: rows that there are.
        code: one of their codes.
        classes: that a probe tells apart.
        seed: of the sample.
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
    """How well two fresh probes read the classifier's class from individual codes.

    They are fitted to the training images' codes, to all of them or to a sample (`probe_rows`), and asked about every
    image of the other split. Codes are computed a few images at a time, and none but the sample's are kept.

    Args:
        encode: images, uint8, to individual codes `[batch, h, w, code]`, which must not carry the exemplars.
        train: the training images.
        train_predictions: `[N]`, the classifier's classes of them.
        source: held-out images.
        predictions: `[M]`, its classes of those.
        seed: of the sample and of the convolutional probe.

    Returns:
        `individual_code_leakage`, the higher accuracy of the two, in [0, 1]; each one's own, `..._linear` and
        `..._convolutional`; `..._chance`, what is right where nothing leaks; `..._images`, which the probes were
        fitted to.
    """
    rows = rows_of_a_call(*train.take(np.arange(1)).shape[1:3])
    codes_of = lambda source: lambda batch: np.asarray(encode(source.take(batch)))  # noqa: E731
    one = codes_of(train)(np.zeros(rows, np.int64))[0]
    sample = probe_rows(len(train), one, int(train_predictions.max()) + 1, seed)
    codes = np.empty((len(sample), *one.shape), one.dtype)
    together = rows * jax.process_count()  # a call of each process
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
