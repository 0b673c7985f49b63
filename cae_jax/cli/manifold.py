"""`cae manifold`: the global explanation of a trained workdir as a page."""

import argparse

from cae_jax.cli.options import add_workdir, count, folder
from cae_jax.cli.program import Program

EXAMPLES = """\
examples:
  {prog} --workdir runs/mnist
      analyses the class codes of up to 20,000 images a split; open runs/mnist/manifold/index.html
  {prog} --workdir runs/mnist --intervals 6 --reach 4
      a coarser topology graph

Writes index.html (self-contained), manifold.json (numbers and graph) and codes.parquet.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--limit", type=count, default=20_000, metavar="N", help="images of each split (20000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of probes, random swaps and t-SNE (0)")
    parser.add_argument(
        "--out",
        type=folder,
        metavar="DIR",
        help="where to write (default: manifold/ in the workdir, or in the current folder)",
    )
    mapper = parser.add_argument_group("the topology graph")
    mapper.add_argument("--lens", default="pca", choices=("pca", "tsne"), help="what its cover is laid over (pca)")
    mapper.add_argument("--dimensions", type=int, default=2, metavar="D", help="dimensions of the lens (2)")
    mapper.add_argument(
        "--intervals", type=int, default=10, metavar="N", help="intervals of the cover along each one (10)"
    )
    mapper.add_argument(
        "--overlap", type=float, default=0.3, metavar="P", help="share that neighbouring intervals overlap by (0.3)"
    )
    mapper.add_argument(
        "--reach", type=float, default=3.0, metavar="R", help="clusters join codes within R times the usual gap (3)"
    )
    mapper.add_argument("--members", type=int, default=3, metavar="N", help="neighbours that make a cluster (3)")


MAPPER = ("lens", "dimensions", "intervals", "overlap", "reach", "members", "seed")


def describe(options: argparse.Namespace, console) -> None:
    """Analyses and writes what the options name."""
    from cae_jax.errors import InputError
    from cae_jax.explaining import Explainer, describe_to_folder, results_folder
    from cae_jax.manifold import MapperOptions
    from cae_jax.progress import WorkProgress

    try:
        mapper = MapperOptions(**{name: getattr(options, name) for name in MAPPER})
    except ValueError as error:
        raise InputError(str(error)) from error
    explainer = Explainer.load(options.workdir)
    out = options.out or results_folder(options.workdir, "manifold")
    with WorkProgress(console) as progress:
        task = progress.add_task("", total=None)
        overview = describe_to_folder(
            explainer,
            out,
            mapper,
            options.seed,
            options.limit,
            report=lambda stage, done, total: progress.update(task, description=stage, completed=done, total=total),
        )
    for name, value in overview.numbers.items():
        console.print(f"{name.replace('_', ' ')}: {value:.4g}", highlight=False)
    console.print(f"open {out / 'index.html'}", highlight=False)


PROGRAM = Program(
    "manifold",
    "Shows what the classifier knows about all images at once: the manifold of their class codes.",
    EXAMPLES,
    _arguments,
    describe,
)
