"""`cae explain` and `explain.py`: explains a classifier's answers with a trained CAE."""

import argparse
import json
import pathlib

from cae_jax.cli.options import add_distributed, add_split, add_workdir, count, folder
from cae_jax.cli.program import Program
from cae_jax.file_names import printable, safe_name
from cae_jax.options import CHOICES, OPTIONS, TYPICAL, Confidence, option_help

EXAMPLES = """\
examples:
  {prog} --workdir mnist
      an explainer of digits that comes along, on the first 8 test images
  {prog} --workdir runs/mnist
      the first 8 images of the test split: what is the least change to another answer?
  {prog} --workdir runs/mnist --index 3,7 --target 8
      two images of the test split: what would make each an 8?
  {prog} --workdir runs/mnist --limit 1000 --target all --diverse 3
      many images, toward every other class, three different answers each
  {prog} --workdir runs/mnist --input my_digits/ --out explained/mine
      all image files of a folder
  {prog} --workdir runs/mnist --input seven.png --reference nine.png
      one image toward another

Open index.html in the folder that it names. Interrupted, the same command goes on where it was.
"""


SHOWN = 5  # images that could not be explained, in the terminal


def _indices(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected numbers like 3,7, not {text!r}") from error


def _confidence(text: str) -> Confidence:
    try:
        return TYPICAL if text == TYPICAL else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected {TYPICAL!r} or a probability, not {text!r}") from error


def _add_options(parser) -> None:
    """Adds an option for each of `ExplainOptions`."""
    texts = option_help()
    for name, field in OPTIONS.items():
        flag, text = f"--{name}", f"{texts.get(name, '')} (default: %(default)s)"
        if isinstance(field.default, bool):
            parser.add_argument(flag, action="store_true", help=texts.get(name))
        elif name in CHOICES:
            parser.add_argument(flag, default=field.default, choices=CHOICES[name], help=text)
        else:
            kind, metavar = (count, "N") if isinstance(field.default, int) else (float, "X")
            kind = _confidence if name == "confidence" else kind
            parser.add_argument(flag, type=kind, default=field.default, metavar=metavar, help=text)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    what = parser.add_argument_group("which images")
    images = what.add_mutually_exclusive_group()
    images.add_argument("--input", type=pathlib.Path, metavar="PATH", help="an image file, or a folder of them")
    images.add_argument("--index", type=_indices, metavar="I,J,...", help="images of the split by position")
    add_split(what, all_of_them=False)
    what.add_argument(
        "--limit", type=count, metavar="N", help="the first N images (default: 8 of a split, all of a folder)"
    )
    where = parser.add_argument_group("where paths lead")
    where.add_argument(
        "--target",
        metavar="CLASS",
        help="a class by name, or by number where no class has that name; 'any' (default) or 'all'",
    )
    where.add_argument("--reference", type=pathlib.Path, metavar="FILE", help="an image that all paths lead to")
    _add_options(parser.add_argument_group("how to search, and what is drawn"))
    parser.add_argument(
        "--out",
        type=folder,
        metavar="DIR",
        help="where to write (default: in explained/ of the workdir, or of the current folder)",
    )
    parser.add_argument(
        "--sheet", action="store_true", help="draw a contact sheet, too: a PDF and its pages as PNG, in sheet/"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the results of another job in --out")
    add_distributed(parser)


def _default_out(options: argparse.Namespace) -> pathlib.Path:
    """A folder named after what is asked for, so that another question does not meet the answers to this one."""
    from cae_jax.explaining import results_folder

    if options.input:
        path, here = options.input.resolve().with_suffix(""), pathlib.Path.cwd()
        what = "_".join(path.relative_to(here).parts if path.is_relative_to(here) else path.parts[1:]) or path.name
    else:
        what = options.split + "".join(f"_{index}" for index in (options.index or [])[:8])
    what += f"_first_{options.limit}" if options.limit else ""
    aim = options.reference.stem if options.reference else "any" if options.target is None else options.target
    return results_folder(options.workdir, "explained") / safe_name(f"{what}_to_{aim}")


def _images(options: argparse.Namespace, explainer):
    from cae_jax.errors import InputError
    from cae_jax.explaining import FileInputs, SplitInputs

    if options.input and options.split != "test":
        raise InputError(f"--split {options.split} is of the data set, and --input names other images: leave one out")
    if options.input:
        return FileInputs(options.input, explainer.image_format, options.limit)
    source, listing = explainer.dataset.split(options.split), explainer.dataset.listing
    rows = options.index or list(range(min(options.limit or 8, len(source))))
    files = (listing.root, explainer.image_format) if listing else ()
    return SplitInputs(source, options.split, rows[: options.limit], *files)


def _print_totals(rows: list[dict], out: pathlib.Path, console) -> None:
    from rich.table import Table
    from rich.text import Text

    from cae_jax.types import Ending

    table = Table(title=Text(printable(f"{len(rows)} explanations in {out}"), "table.title"))
    for column in ("image", "answer", "target", "flip at", "confident at", "typicality", "ending"):
        table.add_column(column, overflow="fold")
    number = lambda value: "" if value is None else f"{value:.3f}"  # noqa: E731
    for row in rows[:20]:
        numbers = (number(row[name]) for name in ("flip_shift", "shift", "typicality"))
        names = (Text(printable(row[name])) for name in ("image", "prediction", "target"))
        table.add_row(*names, *numbers, row["ending"])
    if len(rows) > 20:
        table.add_row("...")
    console.print(table)
    counts = {ending.name: sum(row["ending"] == ending.name for row in rows) for ending in Ending}
    console.print("endings: " + ", ".join(f"{name} {count}" for name, count in counts.items() if count))
    summary = json.loads((out / "explanations.json").read_text())
    if failures := summary["failures"]:
        images, more = "image" if len(failures) == 1 else "images", len(failures) - SHOWN
        console.print(Text(f"{len(failures)} {images} could not be explained:", "bold red"))
        lines = [f"  {failure['name']}: {failure['reason']}" for failure in failures[:SHOWN]]
        for line in lines + [f"  and {more} more, which the page lists"] * (more > 0):
            console.print(Text(printable(line), "bold red"), soft_wrap=True)
    if fewer := summary["fewer_answers"]:
        requests = "1 request has" if len(fewer) == 1 else f"{len(fewer)} requests have"
        console.print(f"{fewer[0]['asked']} different answers were asked for; {requests} fewer, and the page says why")
    sheet = out / "sheet" / "contact_sheet.pdf"
    also = f" and {sheet}" if sheet.exists() else ""
    console.print(Text(printable(f"open {out / 'index.html'}{also}")), soft_wrap=True)


def explain(options: argparse.Namespace, console) -> None:
    """Explains what the options name and writes the results."""
    from cae_jax.explaining import Aim, Explainer, explain_to_folder, find_target, read_image
    from cae_jax.progress import WorkProgress

    explainer = Explainer.load(options.workdir)
    record = explainer.record
    target = Aim.ANY if options.target is None else find_target(options.target, record.class_names)
    inputs = _images(options, explainer)
    out = options.out or _default_out(options)
    with WorkProgress(console) as progress:
        task = progress.add_task("explaining", total=len(inputs.names))
        rows = explain_to_folder(
            explainer,
            inputs,
            target,
            out,
            reference=read_image(options.reference, explainer.image_format) if options.reference else None,
            reference_name=options.reference.name if options.reference else "",
            overwrite=options.overwrite,
            sheet=options.sheet,
            report=lambda images: progress.advance(task, images),
            **{name: getattr(options, name) for name in OPTIONS},
        )
    _print_totals(rows, out, console)


PROGRAM = Program(
    "explain",
    "Explains a classifier's answers with a trained CAE. For each image: the answer, the guided path toward another "
    "class, the counterfactual where the answer has flipped, and the saliency map of what changed. Writes a page, "
    "pictures and numbers.",
    EXAMPLES,
    _arguments,
    explain,
)
