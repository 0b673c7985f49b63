"""`cae package`: a trained explainer as one folder that can be given away."""

import argparse

from cae_jax.cli.options import add_workdir, folder
from cae_jax.cli.program import Program

EXAMPLES = """\
example:
  {prog} --workdir runs/mnist --out mnist_explainer
  cae explain --workdir mnist_explainer --input my_digits/

The folder holds the weights (safetensors), the config, the classifier or its name and what it is known again by, the
class codes of the training images, the metrics and a model card; no training images, no pickle. Loading checks every
file's SHA-256 and runs no code: a classifier that is neither in it nor an .onnx file must be handed in, in Python.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--out", type=folder, required=True, metavar="FOLDER", help="folder to make, new or empty")
    parser.add_argument(
        "--half",
        action="store_true",
        help="round the weights to half precision: half the size, and hardly a difference",
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="text for the model card: how the model was made")


def package(options: argparse.Namespace, console) -> None:
    """Writes the package and says what is in it."""
    from cae_jax.explaining import Explainer

    Explainer.load(options.workdir).save_package(options.out, half=options.half, note=options.note)
    for path in sorted(options.out.iterdir()):
        console.print(f"{path}: {path.stat().st_size:,} bytes", highlight=False, soft_wrap=True)


PROGRAM = Program(
    "package", "Packs the best checkpoint of a run into a folder to share.", EXAMPLES, _arguments, package
)
