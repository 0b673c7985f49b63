"""All that is to be seen on an accelerator, in one command that ends in time, the most important first.

    python -m benchmarks.accelerator --minutes 8                  # one GPU
    python -m benchmarks.accelerator --small                      # every line on a CPU, as small as can be

Needs PyTorch on the same device. After each part its table is printed, and what there is so far is written:
`results.csv`, `results.json`, `index.html`. A part that does not fit into the time left is not begun, and listed; one
that fails is recorded with its cause, the others go on, and the exit code is 1. docs/performance.md, "On an
accelerator", says how to take along what a machine without a network lacks.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxlib.version import __version_info__ as jaxlib_version
from rich.console import Console

if TYPE_CHECKING:
    from benchmarks.parts import Part


def list_parts(tiny: bool) -> "list[Part]":
    """All parts, the most important first; estimates are for one H200 with nothing compiled before.

    Args:
        tiny: whether to try every line, not to measure it.
    """
    from functools import partial

    from benchmarks import accelerator_search as searches
    from benchmarks import accelerator_training as steps
    from benchmarks.parts import Part

    def step(preset: str, side: int, pairs: int, precision: str) -> steps.Case:
        return steps.Case(preset, 16 if tiny else side, 1 if tiny else pairs, precision, tiny)

    def compare(pairs: int, precision: str) -> Part:
        run = partial(steps.beside_torch, step("official", 256, pairs, precision))
        return Part(f"official 256x256, {pairs} pairs, {precision}", 80 if precision == "bfloat16" else 105, run)

    def alone(side: int, precision: str) -> Part:
        run = partial(steps.by_itself, step("pictures", side, 8, precision))
        return Part(f"pictures {side}x{side}, 8 pairs, {precision}", 50, run)

    official = [step("official", 256, 1, precision) for precision in ("float32", "bfloat16")]
    short = [official[1], step("pictures", 64, 8, "bfloat16")]
    large = {side: side // 16 if tiny else side for side in (128, 256)}
    parts = [
        Part("device", 5, partial(steps.device, tiny)),
        Part("ceilings", 15, partial(steps.ceilings, tiny)),
        compare(1, "float32"),
        compare(1, "bfloat16"),
        Part("search of digits", 30, partial(searches.search_digits, tiny)),
        Part("busy share", 25, partial(steps.busy, official)),
        Part("explanations on device and CPU", 60, partial(searches.explanations_agree, tiny)),
        Part("configs/mnist.py", 220, partial(searches.train_digits, tiny)),
        Part("losses on device and CPU", 60, partial(searches.losses_agree, 16 if tiny else 64, tiny)),
        compare(1, "TF32"),
        *(Part(f"search at {side}", 45, partial(searches.search_large, large[side], tiny)) for side in large),
        *(alone(side, precision) for side in (64, 128) for precision in ("bfloat16", "float32", "TF32")),
        Part("several steps a call", 60, partial(steps.several_a_call, short, 2 if tiny else 8)),
        Part("slots", 60, partial(searches.slots, tuple(large.values()), tiny)),
        Part("memory", 90, partial(steps.memory, official)),
        *(compare(pairs, precision) for pairs in (4, 16) for precision in ("bfloat16", "float32", "TF32")),
    ]
    return [part._replace(estimate=0.0) for part in parts] if tiny else parts


def main(arguments: Sequence[str]) -> int:
    """Entry point; returns the exit code: 1 if a part failed, or there is no accelerator to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, metavar="M", help="for everything (8)")
    parser.add_argument("--small", action="store_true", help="tries every line on whatever is here; no figure counts")
    parser.add_argument("--only", action="append", metavar="PART", help="only the part of this name; can be repeated")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/accelerator"), metavar="DIR")
    options = parser.parse_args(arguments)
    # PyTorch computes beside JAX, which would take three quarters of the memory at its start.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if options.small:  # to compile takes nearly all of the time there, and its last optimisations much of that
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
        if jaxlib_version < (0, 11):  # these emitters take twice as long; since 0.11.2 there are no others
            flags += " --xla_cpu_use_fusion_emitters=false"
        os.environ["XLA_FLAGS"] = flags

    import jax

    from benchmarks.parts import DONE, FAILED, run_parts
    from cae_jax.cli.console import cache_folder

    console = Console(width=None if sys.stdout.isatty() else 180)
    if not options.small and jax.default_backend() == "cpu":
        console.print("JAX finds no accelerator here; --small tries every line on a CPU", style="bold red")
        return 1
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    parts = list_parts(options.small)
    if unknown := set(options.only or ()) - {part.name for part in parts}:
        names = "; ".join(part.name for part in parts)
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are: {names}")
    chosen = [part for part in parts if not options.only or part.name in options.only]
    title = f"cae_jax on {jax.devices()[0].device_kind}{', as small as can be' if options.small else ''}"
    outcomes = run_parts(chosen, options.minutes, options.out, title, console)
    for outcome in outcomes:
        if outcome.status != DONE:
            console.print(f"{outcome.status}: {outcome.name} ({outcome.cause})", highlight=False)
    console.print(f"written to {options.out}", highlight=False)
    return int(any(outcome.status == FAILED for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
