"""`cae explore`: walk the class-code manifold in a browser."""

import argparse

from cae_jax.cli.options import add_split, add_workdir, count, splits
from cae_jax.cli.program import Program

EXAMPLES = """\
examples:
  {prog} --workdir runs/mnist
      prints the address of a page; Ctrl-C ends it
  {prog} --workdir runs/mnist --split validation --port 5006

On the page: click a point to choose its image, or let a click move the class code, or drag the star; move the shift
slider toward a class or toward a second image, straight or over the topology graph, or play the way there.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    add_split(parser)
    parser.add_argument("--limit", type=count, default=5000, metavar="N", help="images of each split (5000)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one (0)")
    parser.add_argument(
        "--address",
        default="127.0.0.1",
        help="address to listen on (127.0.0.1); another one lets other machines in, under that address or those of "
        "--allow-origin",
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="an address, beside localhost, under which browsers open the page",
    )


def explore(options: argparse.Namespace, console) -> None:
    """Encodes what the options name and serves the page."""
    from cae_jax.explaining import Explainer
    from cae_jax.explorer import free_port, make_atlas, serve
    from cae_jax.progress import working

    port = free_port(options.address, options.port)  # before minutes are spent on what could not be shown
    explainer = Explainer.load(options.workdir)
    with working("encoding images, laying out the manifold", console):
        atlas = make_atlas(explainer, splits(options), options.limit, explainer.record.config.seed)
    serve(
        atlas,
        port,
        options.address,
        options.allow_origin,
        lambda url: console.print(f"open {url}   (Ctrl-C ends it)", highlight=False),
    )


PROGRAM = Program(
    "explore",
    "Serves a live page on this machine on which to walk the manifold of class codes.",
    EXAMPLES,
    _arguments,
    explore,
)
