"""Options that several programs share."""

import argparse
import pathlib

from cae_jax.parallel import bucket


def folder(text: str) -> pathlib.Path:
    """The type of options that name a folder, here or on a bucket; see `bucket.folder`."""
    try:
        return bucket.folder(text)
    except bucket.BucketError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_distributed(parser: argparse.ArgumentParser) -> None:
    """Adds `--distributed`."""
    parser.add_argument(
        "--distributed",
        default="off",
        metavar="WHERE",
        help="of several processes, started alike: 'auto' where the cluster tells them of each other (TPU pods, "
        "Slurm, Kubernetes, Open MPI), or HOST:PORT,N,I for process I of N, process 0 being at HOST:PORT (off). "
        "They share the data and the --workdir, and process 0 writes",
    )
