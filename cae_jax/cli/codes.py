"""`python -m cae_jax.cli.extract_codes`: the class codes of a data set as a table."""

import argparse
import contextlib
import pathlib
import sys
from collections.abc import Sequence

from cae_jax.cli.options import add_distributed, folder

EXAMPLES = """\
examples:
  python -m cae_jax.cli.extract_codes --workdir runs/mnist --split test --out codes.parquet
  python -m cae_jax.cli.extract_codes --workdir runs/mnist --split all --out codes.csv

A row an image: its name, the class code (columns 0, 1, ...), the data set's label, then the classifier's prediction and
probability, the same for the reconstruction, and whether the reconstruction kept its class.
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m cae_jax.cli.extract_codes",
        description="Encodes a data set and writes its class codes as .parquet or .csv.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--workdir", type=folder, required=True, metavar="DIR", help="of a trained run")
    parser.add_argument(
        "--split", default="test", choices=("train", "validation", "test", "all"), help="of its data set (test)"
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE", help="codes.parquet or codes.csv")
    add_distributed(parser)
    return parser.parse_args(arguments)


def extract(options: argparse.Namespace, console) -> None:
    """Encodes what the options name and writes the table, part by part."""
    from rich.progress import Progress

    from cae_jax.data import SPLITS
    from cae_jax.explaining import Explainer, code_parts, codes_file
    from cae_jax.parallel.processes import is_first

    explainer = Explainer.load(options.workdir)
    splits = SPLITS if options.split == "all" else (options.split,)
    count = kept = 0
    table = codes_file(options.out, explainer.record.class_names) if is_first() else contextlib.nullcontext()
    with table as write, Progress(console=console) as progress:
        task = progress.add_task("encoding", total=sum(len(explainer.dataset.split(split)) for split in splits))
        for part in code_parts(explainer, splits, report=lambda images: progress.advance(task, images)):
            if write:
                write(part)
            count, kept = count + len(part.names), kept + int(part.kept.sum())
    console.print(
        f"{count} codes in {options.out}; {kept / count:.1%} of the reconstructions keep their class", highlight=False
    )


def main() -> int:
    """Entry point; returns the exit code."""
    options = parse(sys.argv[1:])

    from cae_jax.cli.console import run

    return run(lambda console: extract(options, console), options.distributed)


if __name__ == "__main__":
    sys.exit(main())
