"""Options that several programs share."""

import argparse
import pathlib

from cae_jax.parallel import bucket

EXPLAINER = (
    "folder of a trained run or of a package; or hf://OWNER/NAME or hf://OWNER/NAME@REVISION, a package on the Hugging "
    "Face Hub; or the name of an explainer that comes along, such as mnist"
)
HUB = "hf://"  # as `explaining.hub.SCHEME`, which takes JAX to import
SPLITS = ("train", "validation", "test")  # as `data.SPLITS`, which takes JAX to import


def folder(text: str) -> pathlib.Path:
    """The type of options that name a folder, here or on a bucket; see `bucket.folder`."""
    try:
        return bucket.folder(text)
    except bucket.BucketError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def count(text: str) -> int:
    """The type of options that are whole numbers of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, not {text!r}")
    return int(text)


def explainer(text: str) -> pathlib.Path | str:
    """The type of options that name an explainer: a folder, or an address on the hub, which stays a text."""
    return text if text.startswith(HUB) else folder(text)


def add_workdir(parser: argparse.ArgumentParser) -> None:
    """Adds `--workdir`, which names an explainer and must be given."""
    parser.add_argument("--workdir", type=explainer, required=True, metavar="DIR", help=EXPLAINER)


def add_split(parser, all_of_them: bool = True) -> None:
    """Adds `--split`, with 'all' for all of them; `splits` reads it."""
    names = (*SPLITS, "all") if all_of_them else SPLITS
    parser.add_argument("--split", default="test", choices=names, help="split of the data set (default: test)")


def splits(options: argparse.Namespace) -> tuple[str, ...]:
    """The splits that `--split` names."""
    return SPLITS if options.split == "all" else (options.split,)


def add_distributed(parser: argparse.ArgumentParser) -> None:
    """Adds `--distributed`."""
    parser.add_argument(
        "--distributed",
        default="off",
        metavar="WHERE",
        help="how several processes, started alike, find each other: 'auto' where the cluster tells them (TPU pods, "
        "Slurm, Kubernetes, Open MPI), or HOST:PORT,N,I for process I of N, process 0 being at HOST:PORT (off). "
        "They share the data and the --workdir, and process 0 writes",
    )
