"""`explain.py` and `cae-explain`: explains a classifier's answers with a trained CAE."""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence

from cae_jax.cli.options import add_distributed, folder
from cae_jax.file_names import printable, safe_name

EXAMPLES = """\
examples:
  python explain.py --workdir runs/mnist
      the first 8 images of the test split: what is the least change to another answer?
  python explain.py --workdir runs/mnist --index 3,7 --target 8
      two images of the test split: what would make each an 8?
  python explain.py --workdir runs/mnist --limit 1000 --target all --diverse 3
      many images, toward every other class, three different answers each
  python explain.py --workdir runs/mnist --input my_digits/ --out explained/mine
      all image files of a folder
  python explain.py --workdir runs/mnist --input seven.png --reference nine.png
      one image toward another

Open index.html in the folder that it names. Interrupted, the same command goes on where it was.
"""


def _indices(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected numbers like 3,7, not {text!r}") from error


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, not {text!r}")
    return int(text)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="explain.py",
        description="For each image: the classifier's answer, the guided path toward another class, the counterfactual "
        "where the answer has flipped, and the saliency map of what changed. Writes a page, pictures and numbers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--workdir", type=folder, required=True, metavar="DIR", help="of a trained run")
    what = parser.add_argument_group("which images")
    images = what.add_mutually_exclusive_group()
    images.add_argument("--input", type=pathlib.Path, metavar="PATH", help="an image file, or a folder of them")
    images.add_argument("--index", type=_indices, metavar="I,J,...", help="images of the split by position")
    what.add_argument(
        "--split", choices=("train", "validation", "test"), default="test", help="of the data set (default: test)"
    )
    what.add_argument(
        "--limit", type=_count, metavar="N", help="the first N images (default: 8 of a split, all of a folder)"
    )
    where = parser.add_argument_group("where paths lead")
    where.add_argument(
        "--target",
        metavar="CLASS",
        help="a class by name, or by number where no class has that name; 'any' (default) or 'all'",
    )
    where.add_argument(
        "--strategy",
        default="geodesic",
        choices=("nearest", "medoid", "centroid", "geodesic"),
        help="straight to the nearest code of the target class, its medoid or its centroid; or from code to "
        "neighbouring code to the medoid (default)",
    )
    where.add_argument("--reference", type=pathlib.Path, metavar="FILE", help="an image that all paths lead to")
    where.add_argument(
        "--references", type=_count, default=3, metavar="N", help="paths tried for each image (default: 3)"
    )
    how = parser.add_argument_group("when a counterfactual is reached, and what is drawn")
    how.add_argument(
        "--confidence", type=float, default=0.9, metavar="P", help="probability that the target must reach (0.9)"
    )
    how.add_argument(
        "--tolerance", type=float, default=1 / 256, metavar="T", help="of the shifts, a share of the path (1/256)"
    )
    how.add_argument(
        "--diverse", type=_count, default=1, metavar="K", help="different counterfactuals for each image and target (1)"
    )
    how.add_argument(
        "--saliency",
        default="reconstruction",
        choices=("reconstruction", "input", "path", "relevance"),
        help="change against the reconstruction (default), against the input, accumulated where the target gains, or "
        "how much each pixel speaks for the answer",
    )
    how.add_argument(
        "--residual",
        action="store_true",
        help="keep the exemplar itself in every image wherever the class code changes nothing; paths begin at it",
    )
    how.add_argument("--smoothing", type=float, default=0.0, metavar="SIGMA", help="of saliency maps, in pixels (0)")
    parser.add_argument(
        "--out",
        type=folder,
        metavar="DIR",
        help="where to write (default: in explained/ of the workdir)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the results of another job in --out")
    add_distributed(parser)
    return parser.parse_args(arguments)


OPTIONS = ("strategy", "references", "confidence", "tolerance", "diverse", "saliency", "residual", "smoothing")


def _default_out(options: argparse.Namespace) -> pathlib.Path:
    """A folder named after what is asked for, so that another question does not meet the answers to this one."""
    if options.input:
        what = options.input.stem
    else:
        what = options.split + "".join(f"_{index}" for index in (options.index or [])[:8])
    what += f"_first_{options.limit}" if options.limit else ""
    aim = options.reference.stem if options.reference else "any" if options.target is None else options.target
    return options.workdir / "explained" / safe_name(f"{what}_to_{aim}")


def _images(options: argparse.Namespace, explainer):
    from cae_jax.explaining import FileInputs, SplitInputs

    if options.input:
        return FileInputs(options.input, explainer.image_format, options.limit)
    source = explainer.dataset.split(options.split)
    rows = options.index or list(range(min(options.limit or 8, len(source))))
    return SplitInputs(source, options.split, rows[: options.limit])


def _print_totals(rows: list[dict], out: pathlib.Path, console) -> None:
    from rich.table import Table
    from rich.text import Text

    from cae_jax.types import Ending

    table = Table(title=Text(printable(f"{len(rows)} explanations in {out}"), "table.title"))
    for column in ("image", "answer", "target", "flip at", "confident at", "ending"):
        table.add_column(column, overflow="fold")
    number = lambda value: "" if value is None else f"{value:.3f}"  # noqa: E731
    for row in rows[:20]:
        shifts = (number(row["flip_shift"]), number(row["shift"]))
        names = (Text(printable(row[name])) for name in ("image", "prediction", "target"))
        table.add_row(*names, *shifts, row["ending"])
    if len(rows) > 20:
        table.add_row("...")
    console.print(table)
    counts = {ending.name: sum(row["ending"] == ending.name for row in rows) for ending in Ending}
    console.print("endings: " + ", ".join(f"{name} {count}" for name, count in counts.items() if count))
    summary = json.loads((out / "explanations.json").read_text())
    if failures := summary["failures"]:
        images, first = "image" if len(failures) == 1 else "images", failures[0]
        text = f"{len(failures)} {images} could not be explained, such as {first['name']}: {first['reason']}"
        console.print(Text(printable(text), "bold red"), soft_wrap=True)
    if fewer := summary["fewer_answers"]:
        requests = "1 request has" if len(fewer) == 1 else f"{len(fewer)} requests have"
        console.print(f"{fewer[0]['asked']} different answers were asked for; {requests} fewer, and the page says why")
    console.print(Text(printable(f"open {out / 'index.html'}")), soft_wrap=True)


def explain(options: argparse.Namespace, console) -> None:
    """Explains what the options name and writes the results."""
    from rich.progress import Progress

    from cae_jax.explaining import Aim, Explainer, explain_to_folder, find_target, read_image

    explainer = Explainer.load(options.workdir)
    record = explainer.record
    target = Aim.ANY if options.target is None else find_target(options.target, record.class_names)
    inputs = _images(options, explainer)
    out = options.out or _default_out(options)
    with Progress(console=console) as progress:
        task = progress.add_task("explaining", total=len(inputs.names))
        rows = explain_to_folder(
            explainer,
            inputs,
            target,
            out,
            reference=read_image(options.reference, explainer.image_format) if options.reference else None,
            reference_name=options.reference.name if options.reference else "",
            overwrite=options.overwrite,
            report=lambda images: progress.advance(task, images),
            **{name: getattr(options, name) for name in OPTIONS},
        )
    _print_totals(rows, out, console)


def main() -> int:
    """Entry point; returns the exit code."""
    options = parse(sys.argv[1:])

    from cae_jax.cli.console import run  # loads JAX, which a look at the help need not wait for

    return run(lambda console: explain(options, console), options.distributed)
