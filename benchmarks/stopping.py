"""Where to stop on a path: how often independent judges agree with a counterfactual, and how far it has gone.

    python -m benchmarks.stopping --workdir runs/mnist

Explains test images toward random other classes, once for each confidence, and prints a table as Markdown.
"""

import argparse
import pathlib
import sys
from collections.abc import Mapping

import jax
import numpy as np
from rich.console import Console

from cae_jax.classifiers import Classify, svm_judge
from cae_jax.cli import console as program
from cae_jax.explaining import Explainer
from cae_jax.images import to_unit
from cae_jax.metrics import l1_distance
from cae_jax.parallel.batching import map_batches
from cae_jax.types import Ending, Explanation
from cae_jax.workdir.classifier_store import LoadedClassifier, load_oracle

CONFIDENCES = (0.9, 0.99, "typical")
OF_THE_REACHED = ("L1", "shift", "typicality")


def row_of(found: Explanation, judges: Mapping[str, Classify]) -> dict[str, float]:
    """The figures of one confidence, by name: what was reached, and of that, the judges' agreement and the distance.

    Where nothing was reached, there is nothing to judge: NaN.

    Args:
        found: explanations.
        judges: images `[N, height, width, channels]` in [0, 1] to classes `[N]`, by name.
    """
    walked = np.isin(found.status, (Ending.FLIPPED, Ending.WEAK, Ending.NOT_FLIPPED))
    reached = found.status == Ending.FLIPPED
    shares = {"of all": float(reached.mean()), "of the reconstructed": float(reached.sum() / max(walked.sum(), 1))}
    if not reached.any():
        return shares | dict.fromkeys((*judges, *OF_THE_REACHED), float("nan"))
    images, targets = found.counterfactual[reached], found.target[reached]
    return shares | {
        **{name: float((judge(images) == targets).mean()) for name, judge in judges.items()},
        "L1": float(l1_distance(images, found.path_images[reached, 0]).mean()),
        "shift": float(np.median(found.shift[reached])),
        "typicality": float(np.median(found.typicality[reached])),
    }


def judges_of(explainer: Explainer, oracle: LoadedClassifier) -> dict[str, Classify]:
    """The judges that training never saw, images to classes by name: the oracle and, unless left out, the SVM."""
    answer, config = jax.jit(oracle.predict), explainer.record.config
    judges: dict[str, Classify] = {"oracle": lambda images: map_batches(answer, images).argmax(-1)}
    if svm := svm_judge(explainer.dataset.train, config.evaluation.svm_images, config.seed):
        judges["SVM"] = svm
    return judges


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=pathlib.Path, required=True, help="a run with an oracle")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0, help="of the images and their targets")
    options = parser.parse_args()

    def benchmark(console: Console) -> None:
        explainer, oracle = Explainer.load(options.workdir), load_oracle(options.workdir)
        source, classes = explainer.dataset.test, len(explainer.record.class_names)
        rng = np.random.default_rng(options.seed)
        images = np.asarray(to_unit(source.take(np.sort(rng.permutation(len(source))[: options.images]))))
        targets = (explainer.predict(images).argmax(-1) + rng.integers(1, classes, len(images))) % classes
        judges = judges_of(explainer, oracle)
        for number, confidence in enumerate(CONFIDENCES):
            row = row_of(explainer.explain(images, targets, confidence=confidence), judges)
            if not number:
                console.print(f"| confidence | {' | '.join(row)} |\n|{'---|' * (len(row) + 1)}", markup=False)
            figures = " | ".join(f"{value:.3f}" for value in row.values())
            console.print(f"| {confidence} | {figures} |", markup=False, soft_wrap=True, highlight=False)

    return program.run(benchmark)


if __name__ == "__main__":
    sys.exit(main())
