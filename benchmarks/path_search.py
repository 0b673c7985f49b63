"""The search, measured: counterfactuals per second, what they are worth, and memory, against one at a time."""

import functools
import importlib
import resource
import statistics
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from rich.console import Console

from cae_jax.counterfactual import STRATEGIES, Crossings, Paths, decide_endings, needed_odds, search
from cae_jax.errors import InputError
from cae_jax.explaining import Explainer
from cae_jax.parallel.batching import map_batches
from cae_jax.parallel.rows import count, take
from cae_jax.types import Ending

CONFIDENCE = 0.9  # PyTorch's search takes a probability


class Timing(NamedTuple):
    """One way to search, measured.

    Attributes:
        name: of the way.
        rows: searched.
        seconds: for all of them, the median of the repetitions, compilation apart.
        compile_seconds: of the first call beyond that.
        decodes: images decoded and classified for a row, on average.
        crossings: what was found.
    """

    name: str
    rows: int
    seconds: float
    compile_seconds: float
    decodes: float
    crossings: Crossings

    @property
    def per_second(self) -> float:
        """Counterfactuals per second."""
        return self.rows / self.seconds


def make_search(decode: Callable, predict: Callable, batch_size: int, slots: int, tolerance: float) -> Callable:
    """Our search over any number of rows, compiled for calls of `batch_size` rows of which `slots` run together."""
    find = functools.partial(search, decode, predict, slots=slots, tolerance=tolerance)
    compiled = jax.jit(lambda paths, active: find(paths._replace(active=active)))
    return functools.partial(map_batches, compiled, batch_size=batch_size, mask=True)


def measure(name: str, run: Callable[[Paths], Crossings], paths: Paths, repetitions: int = 3) -> Timing:
    """Times a search; the first call, which may compile, apart."""
    began = time.perf_counter()
    crossings = run(paths)
    first = time.perf_counter() - began
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        crossings = run(paths)
        seconds.append(time.perf_counter() - began)
    usual = statistics.median(seconds)
    return Timing(name, count(paths), usual, max(first - usual, 0.0), float(np.mean(crossings.decodes)), crossings)


def largest_difference(shifts: npt.ArrayLike, others: npt.ArrayLike) -> float:
    """How far two searches are apart on the same rows; infinite where only one of them found anything."""
    shifts, others = np.asarray(shifts), np.asarray(others)
    if (np.isnan(shifts) != np.isnan(others)).any():
        return float("inf")
    return float(np.abs(np.nan_to_num(shifts) - np.nan_to_num(others)).max())


def quality(
    paths: Paths,
    crossings: Crossings,
    at: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    oracle: Callable[[np.ndarray], np.ndarray],
) -> dict[str, Any]:
    """How the searches ended and what an oracle thinks of the images, of all and of the reconstructed.

    Args:
        paths: that were searched.
        crossings: that were found.
        at: individual codes, waypoints and shifts to images.
        oracle: images to probabilities.
    """
    shift = np.asarray(crossings.shift)
    status = decide_endings(
        paths.prediction,
        paths.target,
        np.ones(len(shift), bool),
        np.asarray(crossings.start_prediction),
        np.asarray(crossings.flip_shift),
        shift,
        np.asarray(crossings.finite),
    )
    reconstructed = status != Ending.NOT_RECONSTRUCTED
    flipped = status == Ending.FLIPPED

    def confirmed(shifts: np.ndarray) -> np.ndarray:
        images = at(paths.individual, paths.waypoints, shifts.astype(np.float32))
        return oracle(images).argmax(-1) == paths.target

    there, at_end = confirmed(np.nan_to_num(shift, nan=1.0)), confirmed(np.ones(len(shift)))
    share = lambda hits, of: float(hits[of].mean()) if of.any() else float("nan")  # noqa: E731
    everyone = np.ones(len(shift), bool)
    return {
        "endings": {ending.name: int((status == ending).sum()) for ending in Ending},
        "reached": share(flipped, everyone),
        "reached_of_reconstructed": share(flipped, reconstructed),
        "oracle_confirms": share(there & flipped, everyone),
        "oracle_confirms_of_reached": share(there, flipped),
        "oracle_confirms_of_reconstructed": share(there & flipped, reconstructed),
        "oracle_at_end": share(at_end, everyone),
        "oracle_at_end_of_reconstructed": share(at_end, reconstructed),
        "median_flip_shift": float(np.nanmedian(crossings.flip_shift)) if flipped.any() else float("nan"),
        "median_shift": float(np.nanmedian(shift)) if flipped.any() else float("nan"),
    }


def peak_memory() -> float:
    """The most memory that the process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def draw_paths(
    explainer: Explainer,
    count: int,
    seed: int,
    strategy: str = "medoid",
    confidence: float = CONFIDENCE,
) -> Paths:
    """Paths from random test images to random other classes; straight to their medoids, if nothing else is said.

    Every pair of image and other class comes once before any comes again.

    Args:
        explainer: of a run whose data are there.
        count: of paths; those to a class without a confident code are missing.
        seed: of the choice of pairs.
        strategy: that leads the paths.
        confidence: of the codes that paths lead to.

    Raises:
        InputError: if no class has a confident code.
    """
    source, classes = explainer.dataset.test, len(explainer.record.class_names)
    predictions = np.concatenate(
        [explainer.predict(source.take(rows)).argmax(-1) for rows in np.array_split(np.arange(len(source)), 8)]
    )
    rng = np.random.default_rng(seed)
    image, target = np.divmod(np.resize(rng.permutation(len(source) * (classes - 1)), count), classes - 1)
    target = (predictions[image] + 1 + target) % classes
    used, position = np.unique(image, return_inverse=True)
    individual, class_codes = explainer.encode(source.take(used))
    choose = STRATEGIES[strategy](explainer.code_table, confidence)
    candidates = choose(class_codes[position], target, 1)
    if not len(candidates.request):
        raise InputError("no class of this run has a confident code to lead paths to; train it longer")
    rows = position[candidates.request]
    return Paths(
        take(individual, rows),
        candidates.waypoints,
        predictions[image[candidates.request]].astype(np.int32),
        candidates.target.astype(np.int32),
        needed_odds(CONFIDENCE, candidates.target, None),
    )


def time_torch(recipe: ModuleType, draw: Callable, classify: Callable, paths: Paths, tolerance: float) -> list[Timing]:
    """Times the published search, and bracket and bisect, one image at a time in eager PyTorch, on JAX's device.

    Args:
        recipe: `benchmarks/torch_recipe.py`.
        draw: an `Individual`, of numpy, and its and a class code as tensors, to images in [0, 1] as tensors.
        classify: images to probabilities, as tensors.
        paths: straight ones.
        tolerance: of the shifts.
    """
    device = recipe.beside_jax()

    def run(find: Callable) -> Callable[[Paths], Crossings]:
        def search_all(paths: Paths) -> Crossings:
            found = []
            for row in range(count(paths)):
                one = take(paths, row)
                ends = one.waypoints[0], one.waypoints[-1]
                probe = recipe.make_probe(
                    functools.partial(draw, one.individual),
                    classify,
                    one.individual.code,
                    *ends,
                    int(one.target),
                    CONFIDENCE,
                    device,
                )
                found.append(find(probe, tolerance))
            flip_shift, shift, decodes = (np.asarray(field) for field in zip(*found, strict=True))
            return Crossings(flip_shift, shift, paths.prediction, np.ones(len(found), bool), decodes)

        return search_all

    return [
        measure("PyTorch, fine scan", run(recipe.fine_scan), paths, repetitions=1),
        measure("PyTorch, bisection", run(recipe.bracket_and_bisect), paths, repetitions=1),
    ]


def measure_torch(explainer: Explainer, paths: Paths, tolerance: float, console: Console) -> list[Timing]:
    """`time_torch` with a workdir's weights; none, and a line why, where PyTorch is not at hand."""
    try:
        recipe = importlib.import_module("benchmarks.torch_recipe")
    except ImportError as error:
        console.print(f"PyTorch is left out: {error}. It needs the torch extra and a checkout as the current folder")
        return []
    if explainer.classifier.facts.get("architecture") != "small_cnn":
        console.print("PyTorch is left out: benchmarks/torch_recipe.py knows the small_cnn classifier only")
        return []
    device, weights = recipe.beside_jax(), (explainer.params["decoder"], explainer.classifier.params)
    decoder, classifier = (recipe.to_torch(params, device) for params in weights)
    (height, width, _), model = explainer.record.image_shape, explainer.record.config.model

    def draw(individual, code, class_code):
        image = recipe.from_blocks(recipe.decode(decoder, code, class_code), model.block)
        top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
        drawn = (image[..., top : top + height, left : left + width] * 0.5 + 0.5).clamp(0.0, 1.0)
        if individual.exemplar is None:
            return drawn
        return recipe.keep_exemplar(individual.exemplar, individual.reconstruction, drawn, model.residual)

    return time_torch(recipe, draw, lambda images: recipe.classify(classifier, images), paths, tolerance)
