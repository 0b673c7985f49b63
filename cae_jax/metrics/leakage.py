"""Leakage: how well freshly fitted probes predict the class from individual codes, which should not carry it.

The strongest of four counts, since a single kind of probe can be blind to a code that another one reads.
"""

from collections.abc import Callable

import jax
import numpy as np

from cae_jax.metrics import probes
from cae_jax.metrics.swaps import majority_share
from cae_jax.parallel.batching import map_batches, rows_of_a_call
from cae_jax.types import ImageSource

SAMPLE_BYTES = 512 * 2**20  # limit for the codes that a probe is fitted to, and for its weights while it is fitted
FITTING = 24 * 8  # bytes that fitting needs for each weight: the solver keeps ten steps and gradients in float64
SVM_CODES = 4000  # limit for the codes that a support vector machine is fitted to: its kernel has their square


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
    return _sample(count, max(most, 1), seed)


def _sample(count: int, most: int, seed: int) -> np.ndarray:
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def individual_code_leakage(
    encode: Callable[[np.ndarray], np.ndarray],
    train: ImageSource,
    train_predictions: np.ndarray,
    source: ImageSource,
    predictions: np.ndarray,
    seed: int,
) -> dict[str, float]:
    """Measures how well the strongest of four fresh probes predicts the class from individual codes.

    The probes, a linear one, a perceptron, a convolutional network and a support vector machine, are fitted to the
    codes of the training images, or of a sample of them (see `probe_rows`; of that, the support vector machine sees
    `SVM_CODES` at most), and scored on every held-out image. Codes are computed a few images at a time, and only those
    of the sample are kept.

    Args:
        encode: function from uint8 images to individual codes `[batch, h, w, code]`, which must not carry the
            exemplars. Nothing in it may have been fitted to the codes of the training images, such as a normaliser:
            a probe that is fitted to the same codes reads less from new ones than another probe would.
        train: training images.
        train_predictions: classifier's class of each training image, `[N]`.
        source: held-out images.
        predictions: classifier's class of each held-out image, `[M]`.
        seed: seed of the samples and of the probes that are networks.

    Returns:
        Numbers by name: `individual_code_leakage`, the highest accuracy of the four probes, in [0, 1]; with the
        suffixes `_linear`, `_mlp`, `_convolutional` and `_svm`, the accuracy of each; with `_chance`, the share of the
        most frequent class, which a probe reaches where nothing leaks; with `_images`, the number of images that
        probes were fitted to, and with `_svm_images`, to how many of them the support vector machine was.
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
    flat, standard = probes.fit_standard(codes)
    few = _sample(len(sample), SVM_CODES, seed)
    of_maps = probes.fit_convolutional_probe(codes, known, seed=seed)
    of_rows = {
        "linear": probes.fit_linear_probe(flat, known),
        "mlp": probes.fit_mlp_probe(flat, known, seed=seed),
        "svm": probes.fit_svm_probe(flat[few], known[few]),
    }

    def ask(batch: np.ndarray) -> list[np.ndarray]:
        held_out = codes_of(source)(batch)
        flat = standard(held_out)
        return [of_maps(held_out), *(probe(flat) for probe in of_rows.values())]

    answers = map_batches(ask, np.arange(len(source)), batch_size=rows, spread=True)
    right = [float((answer == predictions).mean()) for answer in answers]
    accuracies = dict(zip(("convolutional", *of_rows), right, strict=True))
    return {
        "individual_code_leakage": max(right),
        **{f"individual_code_leakage_{name}": accuracy for name, accuracy in accuracies.items()},
        "individual_code_leakage_chance": majority_share(predictions),
        "individual_code_leakage_images": len(sample),
        "individual_code_leakage_svm_images": len(few),
    }
