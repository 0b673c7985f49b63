"""`cae package`: a trained explainer as one folder that can be given away."""

import argparse

from cae_jax.cli.options import add_workdir, folder
from cae_jax.cli.program import Program

EXAMPLES = """\
examples:
  {prog} --workdir runs/mnist --out mnist_explainer
  cae explain --workdir mnist_explainer --input my_digits/
  {prog} --workdir runs/mnist --out to_share --license mit --push OWNER/NAME
  cae explain --workdir hf://OWNER/NAME --input my_digits/

The folder holds the weights (safetensors), the config, the classifier or its name and what it is known again by, the
class codes of the training images, the metrics and a model card; no training images, no pickle. Loading checks every
file's SHA-256, but the card's, and runs no code: a classifier that is neither in it nor an .onnx file must be handed
in, in Python.
A repository that --push makes on the Hugging Face Hub is private until you open it to others.
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
    parser.add_argument("--license", default="", metavar="NAME", help="licence for the model card, such as apache-2.0")
    parser.add_argument(
        "--push",
        default="",
        metavar="OWNER/NAME",
        help="upload the folder to the Hugging Face Hub, too (pip install 'cae_jax[hub]'; hf auth login)",
    )


def package(options: argparse.Namespace, console) -> None:
    """Writes the package, says what is in it, and uploads it if asked to."""
    from cae_jax.explaining import Explainer

    pushed = Explainer.load(options.workdir).save_package(
        options.out, half=options.half, note=options.note, license=options.license, push=options.push
    )
    for path in sorted(options.out.iterdir()):
        console.print(f"{path}: {path.stat().st_size:,} bytes", highlight=False, soft_wrap=True)
    if pushed:
        console.print(f"uploaded; to load it: {pushed}", highlight=False, soft_wrap=True)


PROGRAM = Program(
    "package", "Packs the best checkpoint of a run into a folder to share.", EXAMPLES, _arguments, package
)
