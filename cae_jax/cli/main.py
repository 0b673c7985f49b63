"""`cae`, or `python -m cae_jax`: the one command, whose subcommands are the programs."""

import argparse
import sys

from cae_jax.cli import codes, compare, explain, explore, export_weights, import_weights, manifold, package, train

MODULES = (train, explain, explore, manifold, codes, compare, package, import_weights, export_weights)
PROGRAMS = {module.PROGRAM.name: module.PROGRAM for module in MODULES}


def _list() -> str:
    lines = ["commands:"]
    for program in PROGRAMS.values():
        example = next(line for line in program.epilog().splitlines() if line.startswith("  cae"))
        lines += [f"  {program.name:<10}{program.description.partition('. ')[0].rstrip('.')}", f"          {example}"]
    return "\n".join([*lines, "", "cae COMMAND --help says more."])


def main() -> None:
    """Runs the subcommand that the command line names, as this process, which ends with it."""
    parser = argparse.ArgumentParser(
        prog="cae",
        description="Class association embedding (CAE): explains image classifiers by counterfactuals and by what "
        "they know overall.",
        epilog=_list(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", choices=PROGRAMS, help="one of those below")
    PROGRAMS[parser.parse_args(sys.argv[1:2] or ["--help"]).command].start(sys.argv[2:])
