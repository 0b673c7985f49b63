"""`cae codes`: the class codes of a data set as a table."""

import argparse
import contextlib
import pathlib

from cae_jax.cli.options import add_distributed, add_split, add_workdir, splits
from cae_jax.cli.program import Program

EXAMPLES = """\
examples:
  {prog} --workdir runs/mnist --split test --out codes.parquet
  {prog} --workdir runs/mnist --split all --out codes.csv

A row an image: its name, the class code (columns 0, 1, ...), the data set's label, then the classifier's prediction and
probability, the reconstruction's class and its probability of the image's class, whether it kept that class (ending),
and the image's probability of each class.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    add_split(parser)
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE", help="codes.parquet or codes.csv")
    add_distributed(parser)


def extract_codes(options: argparse.Namespace, console) -> None:
    """Encodes what the options name and writes the table, part by part."""
    from cae_jax.explaining import Explainer, code_parts, codes_file
    from cae_jax.parallel.processes import is_first
    from cae_jax.progress import WorkProgress

    explainer = Explainer.load(options.workdir)
    count = kept = 0
    table = codes_file(options.out, explainer.record.class_names) if is_first() else contextlib.nullcontext()
    with table as write, WorkProgress(console) as progress:
        task = progress.add_task("encoding", total=sum(len(explainer.dataset.split(name)) for name in splits(options)))
        for part in code_parts(explainer, splits(options), report=lambda images: progress.advance(task, images)):
            if write:
                write(part)
            count, kept = count + len(part.names), kept + int(part.kept.sum())
    console.print(
        f"{count} codes in {options.out}; {kept / count:.1%} of the reconstructions keep their class", highlight=False
    )


PROGRAM = Program(
    "codes",
    "Encodes a data set and writes its class codes as .parquet or .csv.",
    EXAMPLES,
    _arguments,
    extract_codes,
)
