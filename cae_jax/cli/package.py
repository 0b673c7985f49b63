"""`python -m cae_jax.cli.package`: a trained explainer as one folder that can be given away."""

import argparse
import sys
from collections.abc import Sequence

from cae_jax.cli.options import folder

EXAMPLES = """\
example:
  python -m cae_jax.cli.package --workdir runs/mnist --out mnist_explainer
  python explain.py --workdir mnist_explainer --input my_digits/

The folder holds the weights (safetensors), the config, the classifier or its name and what it is known again by, the
class codes of the training images, the metrics and a model card; no training images, no pickle. Loading checks every
file's SHA-256 and runs no code: a classifier that is neither in it nor an .onnx file must be handed in, in Python.
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m cae_jax.cli.package",
        description="Packs the best checkpoint of a run into a folder to share.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--workdir", type=folder, required=True, metavar="DIR", help="of a trained run")
    parser.add_argument("--out", type=folder, required=True, metavar="FOLDER", help="new or empty")
    return parser.parse_args(arguments)


def package(options: argparse.Namespace, console) -> None:
    """Writes the package and says what is in it."""
    from cae_jax.explaining import Explainer

    Explainer.load(options.workdir).save_package(options.out)
    for path in sorted(options.out.iterdir()):
        console.print(f"{path}: {path.stat().st_size:,} bytes", highlight=False, soft_wrap=True)


def main() -> int:
    """Entry point; returns the exit code."""
    options = parse(sys.argv[1:])
    from cae_jax.cli.console import run  # loads JAX, which a look at the help need not wait for

    return run(lambda console: package(options, console))


if __name__ == "__main__":
    sys.exit(main())
