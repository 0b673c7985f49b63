"""Options that several programs share."""

import argparse


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
