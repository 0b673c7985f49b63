"""`explain.py` and `cae-explain`: explains a classifier's answers with a trained CAE."""

import argparse
import pathlib
import sys
from collections.abc import Sequence

EXAMPLES = """\
examples:
  python explain.py --workdir runs/mnist
      explains the first 8 images of the test split
  python explain.py --workdir runs/mnist --index 3,7 --target 8
      two images of the test split: what would make each an 8?
  python explain.py --workdir runs/mnist --input my_digits/ --out explained/mine
      all image files of a folder
"""


def _indices(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected numbers like 3,7, not {text!r}") from error


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="explain.py",
        description="For each image: the classifier's answer, the guided path toward another class, the counterfactual "
        "where the answer has flipped, and the saliency map of what changed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--workdir", type=pathlib.Path, required=True, metavar="DIR", help="of a trained run")
    images = parser.add_mutually_exclusive_group()
    images.add_argument("--input", type=pathlib.Path, metavar="PATH", help="an image file, or a folder of them")
    images.add_argument(
        "--index", type=_indices, metavar="I,J,...", help="images of the test split by position (default: 0 to 7)"
    )
    parser.add_argument(
        "--target", default="any", metavar="CLASS", help="a class by name or number, 'any' (default) or 'all'"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, metavar="DIR", help="where to write (default: explained/ in the workdir)"
    )
    return parser.parse_args(arguments)


def explain(options: argparse.Namespace, console) -> None:
    """Explains what the options name and writes the results."""
    import numpy as np
    from rich.progress import Progress
    from rich.table import Table

    from cae_jax.explaining import Explainer, InputError, read_images, write_explanation
    from cae_jax.images import to_unit
    from cae_jax.types import Ending

    explainer = Explainer.load(options.workdir)
    record = explainer.record
    target: str | int = options.target
    if target in record.class_names:
        target = record.class_names.index(str(target))
    elif target not in ("any", "all"):
        raise InputError(f"target class {target!r} does not exist; the classes are {', '.join(record.class_names)}")
    if options.input:
        images, names = read_images(options.input, record.image_shape)
    else:
        indices = options.index or list(range(min(8, len(explainer.dataset.test))))
        for index in indices:
            if not 0 <= index < len(explainer.dataset.test):
                raise InputError(f"--index {index}: the test split has images 0 to {len(explainer.dataset.test) - 1}")
        images, names = explainer.dataset.test.take(np.asarray(indices)), [f"test_{index}" for index in indices]

    with console.status("searching"):
        explanation = explainer.explain(images, target)
    out = options.out or options.workdir / "explained"
    with Progress(console=console) as progress:
        task = progress.add_task("drawing", total=len(explanation))
        write_explanation(
            out,
            explanation,
            np.asarray(to_unit(images)),
            names,
            record.class_names,
            report=lambda row: progress.advance(task),
        )
    table = Table(title=f"{len(explanation)} explanations in {out}")
    for column in ("image", "answer", "target", "flip at", "confident at", "ending"):
        table.add_column(column)
    for row in range(min(len(explanation), 40)):
        aim = int(explanation.target[row])
        table.add_row(
            names[int(explanation.image_index[row])],
            record.class_names[int(explanation.prediction[row])],
            record.class_names[aim] if aim >= 0 else "none",
            f"{explanation.flip_shift[row]:.3f}",
            f"{explanation.shift[row]:.3f}",
            Ending(int(explanation.status[row])).name,
        )
    console.print(table)
    counts = {ending.name: int((explanation.status == ending).sum()) for ending in Ending}
    console.print("endings: " + ", ".join(f"{name} {count}" for name, count in counts.items() if count))


def main() -> int:
    """Entry point; returns the exit code."""
    options = parse(sys.argv[1:])

    from cae_jax.cli.console import run  # loads JAX, which a look at the help need not wait for

    return run(lambda console: explain(options, console))
