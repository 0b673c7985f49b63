"""`python -m benchmarks.search`: how fast and how well the search of a trained workdir answers."""

import argparse
import sys

from benchmarks import path_search, path_search_report
from cae_jax.cli.options import add_workdir, folder
from cae_jax.cli.program import Program

EXAMPLES = """\
examples:
  {prog} --workdir runs/mnist --num 512
      speed and quality on 512 random pairs of a test image and another class, against one at a time
  {prog} --workdir runs/mnist --num 9000 --tolerance 0.00390625
      all 1,000 test images toward all 9 other classes

Run in a checkout with PyTorch installed, it also times benchmarks/torch_recipe.py: the published search in eager
PyTorch with the same weights, on the same paths. Writes search.csv, search.json and search.png.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--num", type=int, default=512, metavar="N", help="pairs of image and other class (512)")
    parser.add_argument("--tolerance", type=float, default=1 / 64, metavar="T", help="of the shifts (1/64)")
    parser.add_argument("--sample", type=int, default=48, metavar="N", help="rows for the slow ways (48)")
    parser.add_argument("--memory", type=int, default=0, metavar="N", help="also search N rows and compare peak memory")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pairs (0)")
    parser.add_argument("--out", type=folder, metavar="DIR", help="default: benchmark/ in the workdir")


def benchmark(options: argparse.Namespace, console) -> None:
    """Measures, prints a table, writes the files."""
    import functools

    import jax
    import numpy as np

    from cae_jax.errors import InputError
    from cae_jax.explaining import Explainer
    from cae_jax.parallel import rows
    from cae_jax.parallel.batching import map_batches
    from cae_jax.workdir.classifier_store import load_oracle

    if options.num < 1 or options.sample < 1:
        raise InputError("--num and --sample must be 1 or more")
    explainer, oracle = Explainer.load(options.workdir), load_oracle(options.workdir)
    for name, loaded in (("classifier", explainer.classifier), ("oracle", oracle)):
        if not loaded.traceable:
            raise InputError(
                f"the {name} of {options.workdir} is none that JAX can trace; the search is timed compiled"
            )
    with console.status("choosing paths"):
        many = path_search.draw_paths(explainer, max(options.num, options.memory), options.seed)
    paths = rows.take(many, slice(options.num))
    decode, predict = explainer.model.asked_by_search
    sample = rows.take(paths, slice(options.sample))
    ours = functools.partial(explainer.model.search, tolerance=options.tolerance)
    timings = [path_search.measure("ours", ours, paths)]
    memory = {str(options.num): path_search.peak_memory()}
    if options.memory:
        ours(many)
        memory[str(options.memory)] = path_search.peak_memory()
    with console.status("one at a time"):
        one = path_search.make_search(decode, predict, 1, 1, options.tolerance)
        timings.append(path_search.measure("ours, one at a time", one, sample, repetitions=1))
    with console.status("PyTorch"):
        timings += path_search.measure_torch(explainer, sample, options.tolerance, console)
    batches = []
    for size in (size for size in (1, 4, 16, 64, 128, 256) if size <= options.num):
        with console.status(f"batches of {size}"):
            run = path_search.make_search(decode, predict, min(8 * size, rows.count(paths)), size, options.tolerance)
            some = rows.take(paths, slice(max(8 * size, 32)))
            batches.append(path_search.measure(f"batches of {size}", run, some, repetitions=1))
    # ours looks for nothing where the reconstruction is not of the image's class; the published search goes on there
    alike, agreement = timings[0].crossings.start_prediction == paths.prediction, {}
    for other in timings[1:]:
        same = np.flatnonzero(alike[: other.rows])
        shifts = (timing.crossings.shift[same] for timing in (timings[0], other))
        agreement[other.name] = path_search.largest_difference(*shifts)
    answer, found = functools.partial(map_batches, jax.jit(oracle.predict)), {}
    for strategy in ("medoid", "geodesic"):
        with console.status(f"what an oracle thinks: {strategy}"):
            many = path_search.draw_paths(explainer, options.num, options.seed, strategy)
            found[strategy] = path_search.quality(many, ours(many), explainer.model.at, answer)
    out = options.out or options.workdir / "benchmark"
    path_search_report.write(out, timings, batches, found, memory, agreement, options.tolerance)
    console.print(path_search_report.table(timings, options.tolerance))
    for strategy, values in found.items():
        for name, value in values.items():
            text = value if isinstance(value, dict) else round(value, 4)
            console.print(f"{strategy}: {name}: {text}", highlight=False)
    console.print(f"largest difference of a shift from ours: {agreement}", highlight=False)
    console.print(
        f"rows not reconstructed, left out of differences: {(~alike).sum()} of {len(alike)} in all", highlight=False
    )
    console.print(f"peak memory, GB: { {k: round(v / 1e9, 3) for k, v in memory.items()} }", highlight=False)
    console.print(f"written to {out}", highlight=False)


PROGRAM = Program(
    "search",
    "Measures the path search: counterfactuals per second, decodes per image, validity, memory.",
    EXAMPLES,
    _arguments,
    benchmark,
)

if __name__ == "__main__":
    PROGRAM.start(sys.argv[1:], "python -m benchmarks.search")
