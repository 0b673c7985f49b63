"""Random ways between class codes: do the images on them convince judges, and are they like real images?

    python -m benchmarks.ways --workdir runs/mnist

Test images are paired at random, of different classes, and the class code of the first moves straight to that of the
second. For each share of the way a table, as Markdown, gives how often oracle and SVM give an image the classifier's
class, and the kernel inception distance to training images in the oracle's features; its last row is of real images.
"""

import argparse
import functools
import pathlib
import sys
from collections.abc import Callable, Mapping

import numpy as np
from rich.console import Console

from benchmarks.stopping import judges_of
from cae_jax import classifiers, metrics
from cae_jax.classifiers import Classify
from cae_jax.cli import console as program
from cae_jax.explaining import Explainer
from cae_jax.images import to_unit
from cae_jax.parallel.batching import map_batches
from cae_jax.parallel.rows import take
from cae_jax.workdir.classifier_store import LoadedClassifier, load_oracle

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
REAL = 2000  # training images that images are compared with, at most

Features = Callable[[np.ndarray], np.ndarray]


def row_of(
    images: np.ndarray,
    classes: np.ndarray,
    judges: Mapping[str, Classify],
    features: Features,
    real: np.ndarray,
) -> dict[str, float]:
    """How often each judge agrees with the classifier's classes `[N]` of images `[N, height, width, channels]`; KID.

    Args:
        images: images in [0, 1].
        classes: classes that the classifier gives them.
        judges: images to classes, by name.
        features: images to features `[N, d]`.
        real: features of real images, `[M, d]`.
    """
    agreement = {name: float((judge(images) == classes).mean()) for name, judge in judges.items()}
    return {**agreement, "KID": metrics.kid(features(images), real)}


def _features(oracle: LoadedClassifier) -> Features:
    """Spatial means of the oracle's last convolution, as the comparison takes them for its KID."""
    network = classifiers.make_classifier(oracle.facts["architecture"], oracle.facts["num_classes"])
    layer = classifiers.last_convolution(network, oracle.params, oracle.facts["image_shape"])
    tap = classifiers.make_tap(network, oracle.params, layer)
    return functools.partial(map_batches, classifiers.spatial_means(tap))


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=pathlib.Path, required=True, help="a run with an oracle that it trained")
    parser.add_argument("--ways", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the pairs")
    options = parser.parse_args()

    def benchmark(console: Console) -> None:
        explainer, oracle = Explainer.load(options.workdir), load_oracle(options.workdir)
        train, test = explainer.dataset.train, explainer.dataset.test
        classify = lambda images: explainer.predict(images).argmax(-1)  # noqa: E731
        images = np.asarray(to_unit(test.take(np.arange(len(test)))))
        predictions = classify(images)
        first, second = metrics.draw_swaps(predictions, options.ways, options.seed)
        individuals, codes = explainer.encode(images)

        features, judges = _features(oracle), judges_of(explainer, oracle)
        rows = np.random.default_rng(options.seed).permutation(len(train))[:REAL]
        real = features(np.asarray(to_unit(train.take(np.sort(rows)))))

        def line(name: str, row: Mapping[str, float]) -> None:
            figures = " | ".join(f"{value:.3f}" for value in row.values())
            console.print(f"| {name} | {figures} |", markup=False, soft_wrap=True, highlight=False)

        for share in SHARES:
            between = ((1 - share) * codes[first] + share * codes[second]).astype(np.float32)
            drawn = explainer.decode(take(individuals, first), between)
            row = row_of(drawn, classify(drawn), judges, features, real)
            if not share:
                console.print(f"| share of the way | {' | '.join(row)} |\n|{'---|' * (len(row) + 1)}", markup=False)
            line(f"{share:g}", row)
        line("real images", row_of(images, predictions, judges, features, real))

    return program.run(benchmark)


if __name__ == "__main__":
    sys.exit(main())
