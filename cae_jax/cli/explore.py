"""`python -m cae_jax.cli.explore`: walk the class-code manifold in a browser."""

import argparse
import sys
from collections.abc import Sequence

from cae_jax.cli.options import folder

EXAMPLES = """\
examples:
  python -m cae_jax.cli.explore --workdir runs/mnist
      prints the address of a page; Ctrl-C ends it
  python -m cae_jax.cli.explore --workdir runs/mnist --split validation --port 5006

On the page: click a point to choose its image, or let a click move the class code, or drag the star; move the shift
slider toward a class or toward a second image, straight or over the topology graph, or play the way there.
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m cae_jax.cli.explore",
        description="Serves a live page on this machine on which to walk the manifold of class codes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--workdir", type=folder, required=True, metavar="DIR", help="of a trained run")
    parser.add_argument(
        "--split", default="test", choices=("train", "validation", "test", "all"), help="whose images are shown (test)"
    )
    parser.add_argument("--limit", type=int, default=5000, metavar="N", help="images of each split (5000)")
    parser.add_argument("--port", type=int, default=0, help="to listen on; 0 takes a free one (0)")
    parser.add_argument(
        "--address", default="127.0.0.1", help="to listen on (127.0.0.1); another one lets other machines in"
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="an address, beside localhost, under which browsers open the page",
    )
    return parser.parse_args(arguments)


def explore(options: argparse.Namespace, console) -> None:
    """Encodes what the options name and serves the page."""
    from cae_jax.data import SPLITS
    from cae_jax.errors import InputError
    from cae_jax.explaining import Explainer
    from cae_jax.explorer import make_atlas, serve

    if options.limit < 1:
        raise InputError("--limit must be 1 or more")
    explainer = Explainer.load(options.workdir)
    splits = SPLITS if options.split == "all" else (options.split,)
    with console.status("encoding images, laying out the manifold"):
        atlas = make_atlas(explainer, splits, options.limit, explainer.record.config.seed)
    serve(
        atlas,
        options.port,
        options.address,
        options.allow_origin,
        lambda url: console.print(f"open {url}   (Ctrl-C ends it)", highlight=False),
    )


def main() -> int:
    """Entry point; returns the exit code."""
    options = parse(sys.argv[1:])

    from cae_jax.cli.console import run

    return run(lambda console: explore(options, console))


if __name__ == "__main__":
    sys.exit(main())
