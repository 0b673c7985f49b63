"""Parts of `benchmarks.accelerator`: digits trained and searched, larger images searched, and whether CPUs agree."""

import functools
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from rich.console import Console

from benchmarks.accelerator_training import PRECISIONS, TINY, Case, multiplying
from benchmarks.parts import Row
from benchmarks.path_search import Timing, draw_paths, largest_difference, make_search, measure, measure_torch
from benchmarks.profiling import build_untrained
from benchmarks.search_official import TOLERANCE, draw_toy, time_all
from cae_jax import Explainer, ExplainOptions, presets
from cae_jax.cli.console import cache_folder
from cae_jax.config.reading import apply_overrides, find_config, load_config
from cae_jax.counterfactual import Paths
from cae_jax.parallel.rows import count, take
from cae_jax.parallel.sharding import data_mesh, split_batch
from cae_jax.training.loop import train

QUICK = {
    "classifier.steps": "20",
    "oracle.steps": "4",
    "oracle.architecture": "small_cnn",
    "train.steps": "4",
    "train.batch_size": "4",
    "train.checkpoint_every": "4",
    "evaluation.swaps": "64",
    "model.individual_downsamplings": "3",  # probes are fitted to the codes: few numbers
}
DIGITS = "mnist"  # the explainer that comes along
LOSSES = 1e-4  # relative difference of a step's losses on two devices
SHOWN = ("swap_flip_rate", "swap_oracle_rate", "reconstruction_keep_rate", "class_code_knn_accuracy")


class Disagreement(Exception):
    """Two devices do not compute the same."""


def train_digits(tiny: bool) -> Iterator[Row]:
    """`configs/mnist.py` from its start to `metrics.json`, on the 5,000 digits that come along."""
    changes = {"data.name": "mnist_5k"} | (TINY | QUICK if tiny else {})
    kept = len(list(cache_folder().glob("*"))) if cache_folder().exists() else 0
    config, console = apply_overrides(load_config(find_config("mnist")), changes), Console(stderr=True)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = train(config, pathlib.Path(folder) / "digits", console)
        seconds = time.perf_counter() - began
    yield {
        "to metrics.json, s": seconds,
        "training, s": found["train_seconds"],
        "images/s": found["images_per_second"] or "not timed",
        "compiled functions kept before": kept,
        **{name: found[name] for name in SHOWN},
    }


def _rows(what: str, timings: list[Timing], prediction: np.ndarray) -> Iterator[Row]:
    """A row a way; where the reconstruction is not of the image's class, `prediction`, ours alone looks for nothing."""
    ours = timings[0]
    alike = np.asarray(ours.crossings.start_prediction == prediction)
    for timing in timings:
        same = np.flatnonzero(alike[: timing.rows])
        shift, other = (np.asarray(found.crossings.shift)[same] for found in (ours, timing))
        yield {
            "search": what,
            "way": timing.name,
            "rows": timing.rows,
            "a second": timing.per_second,
            "decodes a row": timing.decodes,
            "ours is times faster": ours.per_second / timing.per_second,
            "not reconstructed": timing.rows - len(same),
            "found by one only": int((np.isnan(other) != np.isnan(shift)).sum()),
            "shifts differ at most by": largest_difference(shift, other),
            "compile, s": timing.compile_seconds,
        }


def search_digits(tiny: bool) -> Iterator[Row]:
    """The search of digits, and PyTorch's; both in TF32, as JAX multiplies by default."""
    explainer = Explainer.load(DIGITS)
    paths = draw_paths(explainer, 16 if tiny else 9000, 0)
    sample = take(paths, slice(2 if tiny else 24))
    ours = functools.partial(explainer.model.search, tolerance=TOLERANCE)
    one = make_search(*explainer.model.asked_by_search, 1, 1, TOLERANCE)
    with multiplying("TF32"):
        timings = [
            measure("ours", ours, paths, repetitions=1),
            measure("ours, one at a time", one, sample, repetitions=1),
            *measure_torch(explainer, sample, TOLERANCE, Console(stderr=True)),
        ]
    yield from _rows("digits, 32x32", timings, paths.prediction)


def search_large(side: int, tiny: bool) -> Iterator[Row]:
    """The search at the published sizes with weights that have learned nothing, and PyTorch's; both in TF32."""
    config = apply_overrides(presets.official(), TINY if tiny else {})
    toy = draw_toy(config, side, 16 if tiny else 96, seed=0)
    with multiplying("TF32"):
        timings = time_all(toy, 1 if tiny else 6, 4 if tiny else 16)
    yield from _rows(f"{side}x{side}", timings, toy.paths.prediction)


def slots(sides: tuple[int, ...], tiny: bool) -> Iterator[Row]:
    """Rows a second over the slots, three rows waiting for each: where more of them stop paying."""
    explainer = Explainer.load(DIGITS)
    config = apply_overrides(presets.official(), TINY if tiny else {})
    most = {32: 2048, 128: 128, 256: 32}

    def over(what: str, decode: Callable, predict: Callable, paths: Paths, most: int) -> Iterator[Row]:
        number, last = 2, 0.0
        while number <= (2 if tiny else most):
            run = make_search(decode, predict, 3 * number, number, TOLERANCE)
            some = take(paths, np.arange(3 * number) % count(paths))
            found = measure(f"{number} slots", run, some, repetitions=1)
            gain = found.per_second / last if last else float("nan")
            yield {"search": what, "slots": number, "a second": found.per_second, "times those before": gain}
            number, last = 4 * number, found.per_second

    digits = draw_paths(explainer, 16 if tiny else 6144, 0)
    yield from over("digits, 32x32", *explainer.model.asked_by_search, digits, most[32])
    for side in sides:
        toy = draw_toy(config, side, 8 if tiny else 96, seed=0)
        yield from over(f"{side}x{side}", toy.decode, toy.predict, toy.paths, most.get(side, 8))


def losses_agree(side: int, tiny: bool) -> Iterator[Row]:
    """The losses of a first step of the published recipe on the device and on a CPU."""
    case = Case("official", side, 1, "float32", tiny)

    def losses(device: Any, quickly: dict[str, Any] | None) -> dict[str, float]:
        mesh = data_mesh([device])
        trainer = build_untrained(case.config, mesh, (side, side, 3), 2)
        with jax.default_device(device), jax.default_matmul_precision(PRECISIONS["float32"][0]):
            step = trainer.step.lower(trainer.shapes(), split_batch(mesh, case.batch)).compile(quickly)
            terms = step(trainer.init(), split_batch(mesh, case.batch))[1]
        return {name: float(value) for name, value in terms.items() if "norm/" not in name}

    cpu, here = losses(jax.devices("cpu")[0], {"xla_backend_optimization_level": 0}), losses(jax.devices()[0], None)
    apart = {name: abs(here[name] - value) / max(abs(value), 1e-3) for name, value in cpu.items()}
    worst = max(apart, key=lambda name: apart[name])
    yield {"step": f"official {side}x{side}", "losses": len(cpu), "differ at most by": apart[worst], "of": worst}
    if not apart[worst] <= LOSSES:
        raise Disagreement(f"{worst} differs by {apart[worst]:.2g} of its size; {LOSSES:.0e} is the most")


def explanations_agree(tiny: bool) -> Iterator[Row]:
    """Explanations of the digits on the device, in float32 and as JAX multiplies by default, and on a CPU."""
    images = Explainer.load(DIGITS).dataset.test.take(np.arange(4 if tiny else 100))

    def explain(device: Any, precision: str | None) -> tuple[np.ndarray, np.ndarray]:
        with jax.default_device(device), jax.default_matmul_precision(precision):
            explainer = Explainer.load(DIGITS)
            if {device} != set().union(*(leaf.devices() for leaf in jax.tree.leaves(explainer.params))):
                raise Disagreement(f"the weights are not on {device}, so it is not what computes")
            found = explainer.explain(images, strategy="geodesic")  # which end is the closest, last digits may decide
        return found.status, found.shift

    status, shift = explain(jax.devices("cpu")[0], "highest")
    tolerance, wrong = ExplainOptions.tolerance, []
    for name, precision in (("float32", "highest"), ("JAX's default", None)):
        other, shifts = explain(jax.devices()[0], precision)
        same = status == other
        apart, others = largest_difference(shift[same], shifts[same]), int((~same).sum())
        yield {
            "precision": name,
            "explanations": len(status),
            "endings that differ": others,
            "shifts differ at most by": apart,
            "tolerance": tolerance,
        }
        if precision == "highest" and (others or not apart <= tolerance):
            wrong.append(f"in float32, {others} endings differ, and shifts by {apart:.2g}; {tolerance:.2g} is the most")
    if wrong:
        raise Disagreement(wrong[0])
