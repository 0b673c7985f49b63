"""What a package with `--half` changes: the same test images explained by a run and by its package of half the size.

python -m benchmarks.half_precision --workdir runs/mnist
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np
from rich.console import Console

from cae_jax import Explainer
from cae_jax.cli import console as program
from cae_jax.cli.options import count
from cae_jax.metrics import l1_distance
from cae_jax.types import Ending


def differences(run: Explainer, package: Explainer, images: np.ndarray) -> dict[str, float]:
    """How far two explainers are apart on images `[N, height, width, channels]`, target 'any'; by name."""
    ours, theirs = (explainer.predict(images) for explainer in (run, package))
    one, other = (explainer.explain(images, "any") for explainer in (run, package))
    both = (one.target == other.target) & (one.status == Ending.FLIPPED) & (other.status == Ending.FLIPPED)
    # Where both flip none, NaN: there is nothing to compare.
    shifts = abs(one.shift - other.shift)[both] if both.any() else np.asarray([np.nan])
    changed = l1_distance(one.counterfactual, other.counterfactual)[both] if both.any() else np.asarray([np.nan])
    drawn = [explainer.decode(*explainer.encode(images)) for explainer in (run, package)]
    return {
        "images": len(images),
        "share with the same answer of the classifier": float((ours.argmax(-1) == theirs.argmax(-1)).mean()),
        "probabilities, most apart": float(abs(ours - theirs).max()),
        "reconstructions, mean distance in [0, 1]": float(l1_distance(*drawn).mean()),
        "share with the same ending": float((one.status == other.status).mean()),
        "share with the same target": float((one.target == other.target).mean()),
        "share flipped by the run": float((one.status == Ending.FLIPPED).mean()),
        "share flipped by the package": float((other.status == Ending.FLIPPED).mean()),
        "shifts, median distance": float(np.median(shifts)),
        "shifts, 99 of 100 within": float(np.quantile(shifts, 0.99)),
        "counterfactuals, median distance in [0, 1]": float(np.median(changed)),
        "counterfactuals, 99 of 100 within": float(np.quantile(changed, 0.99)),
    }


def measure(options: argparse.Namespace, console: Console) -> None:
    """Packs the run, loads the package, and prints the differences."""
    run = Explainer.load(options.workdir)
    with tempfile.TemporaryDirectory() as folder:
        run.save_package(folder, half=True)
        size = sum(path.stat().st_size for path in pathlib.Path(folder).iterdir())
        package = Explainer.load(folder)
        images = run.dataset.test.take(np.arange(min(options.limit, len(run.dataset.test))))
        found = differences(run, package, images)
    console.print(f"bytes of the package: {size:,}", highlight=False)
    for name, value in found.items():
        console.print(f"{name}: {value:.4g}", highlight=False)


def main() -> int:
    """Runs the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=pathlib.Path, required=True, help="folder of a trained run")
    parser.add_argument("--limit", type=count, default=1000, help="test images (1000)")
    options = parser.parse_args()
    return program.run(lambda console: measure(options, console))


if __name__ == "__main__":
    sys.exit(main())
