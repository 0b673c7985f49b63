"""Computes explanations of encoded images: chooses paths, searches them together, selects results, draws images."""

import logging
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from cae_jax.counterfactual import (
    Candidates,
    CodeTable,
    Crossings,
    Paths,
    Strategy,
    along_path,
    closest,
    decide_endings,
    exchange_relevance,
    input_saliency,
    nearest_classes,
    needed_odds,
    odds_of,
    path_saliency,
    reconstruction_saliency,
    relevance,
    select,
    select_diverse,
    smooth,
    straight,
)
from cae_jax.explaining.compiled_model import CompiledModel
from cae_jax.explaining.requests import ANY, Requests
from cae_jax.metrics import l1_distance
from cae_jax.models import Individual
from cae_jax.options import ExplainOptions
from cae_jax.parallel import rows
from cae_jax.parallel.batching import map_batches, rows_of_a_call
from cae_jax.parallel.rows import Picked
from cae_jax.types import Ending, Explanation

log = logging.getLogger(__name__)
PATH_IMAGES = 7
SALIENCY_STEPS = 16
DIVERSE_REFERENCES = 8  # paths tried for each of several diverse counterfactuals
CLOSEST_ENDS = 8  # ends of which the closest is chosen; docs/experiments.md has what more are worth
MEMORY = 2**28  # approximate limit, in bytes, for the arrays of rows that are explained together


class Exemplars(NamedTuple):
    """N encoded images.

    Attributes:
        images: `[N, height, width, channels]` in [0, 1].
        predictions: classifier's class of each image, `[N]`; -1 where it has no finite answer.
        individual: individual codes of the images.
        class_codes: class codes of the images, `[N, size]`.
    """

    images: np.ndarray
    predictions: np.ndarray
    individual: Individual
    class_codes: np.ndarray


_input_saliency = jax.jit(input_saliency)
_reconstruction_saliency = jax.jit(reconstruction_saliency)
_path_saliency = jax.jit(path_saliency)
_relevance = jax.jit(relevance)
_along_path = jax.jit(along_path)

Route = Callable[[Exemplars, Requests], Candidates]
"""Takes exemplars and requests; returns the paths that are to be searched."""


def _closest(model: CompiledModel, individual: Picked, candidates: Candidates, needed: np.ndarray) -> Candidates:
    """Of several paths of a request to a class, the one whose end is closest to its start (see `closest`).

    Args:
        model: compiled generator and classifier.
        individual: individual codes, one for each path.
        candidates: paths, `[Q]` of them, one at least.
        needed: log odds that each end needs to count as sure, `[Q]`.
    """
    images = model.at(individual, candidates.waypoints, np.ones(len(needed), np.float32))
    which, first, of = np.unique(candidates.request, return_index=True, return_inverse=True)
    starts = model.at(Picked(individual, first), candidates.waypoints[first], np.zeros(len(which), np.float32))
    distance = l1_distance(images, starts[of.reshape(-1)])
    lacking = needed - odds_of(model.predict(images), candidates.target)
    return rows.take(candidates, closest(candidates.request, candidates.target, distance, lacking))


def route_by_strategy(model: CompiledModel, table: CodeTable, strategy: Strategy, options: ExplainOptions) -> Route:
    """Makes a route to references that a strategy chooses from the code table.

    How many references are tried for a request depends on `references` and `diverse` of the options. With the strategy
    'closest', one of `CLOSEST_ENDS` is chosen before the search, unless diverse counterfactuals are asked for.
    """
    choices = CLOSEST_ENDS if options.strategy == "closest" and options.diverse == 1 else 1
    several = DIVERSE_REFERENCES * options.diverse if options.diverse > 1 else 1
    least = options.references if options.strategy == "nearest" else choices
    ends = max(least, several)  # for a given target class
    count = max(options.references, several)  # classes that are tried where any class will do

    def route(exemplars: Exemplars, requests: Requests) -> Candidates:
        codes = exemplars.class_codes[requests.image_index]
        predictions = exemplars.predictions[requests.image_index]
        anything = np.flatnonzero(requests.aim == ANY)
        aimed = np.flatnonzero((requests.aim != ANY) & (requests.aim != predictions))
        which, classes = nearest_classes(table, codes[anything], predictions[anything], count, options.confidence)
        of_each = -(-several // int(np.unique(which, return_counts=True)[1].min(initial=several)))
        of_each = max(of_each, choices)
        parts = []
        for asked, targets, tries in ((anything[which], classes, of_each), (aimed, requests.aim[aimed], ends)):
            if len(asked):
                found = strategy(codes[asked], targets, tries)
                parts.append(found._replace(request=asked[found.request]))
        if not parts:
            none = np.empty(0, np.int64)
            return straight(none, none, none, codes[:0], codes[:0])
        candidates = rows.concatenate(parts)
        if choices == 1 or not len(candidates.request):
            return candidates
        individual = Picked(exemplars.individual, requests.image_index[candidates.request])
        return _closest(model, individual, candidates, needed_odds(options.confidence, candidates.target, table))

    return route


def route_along(waypoints: np.ndarray) -> Route:
    """Makes a route from the exemplars' class codes through given waypoints.

    Args:
        waypoints: class codes, `[points, size]` for all images or `[N, points, size]` for each.
    """

    def route(exemplars: Exemplars, requests: Requests) -> Candidates:
        predictions = exemplars.predictions[requests.image_index]
        request = np.flatnonzero(requests.aim != predictions)
        image = requests.image_index[request]
        given = waypoints[image] if waypoints.ndim == 3 else np.broadcast_to(waypoints, (len(image), *waypoints.shape))
        path = np.concatenate([exemplars.class_codes[image][:, None], given], axis=1).astype(np.float32)
        return Candidates(request, requests.aim[request], np.full(len(request), -1), path)

    return route


def _routed(route: Route, exemplars: Exemplars, requests: Requests) -> Candidates:
    """The paths of all requests, except for images that the classifier has no finite answer to."""
    answered = np.flatnonzero(exemplars.predictions[requests.image_index] >= 0)
    candidates = route(exemplars, rows.take(requests, answered))
    return candidates._replace(request=answered[candidates.request])


def _with_pathless(candidates: Candidates, exemplars: Exemplars, requests: Requests) -> tuple[Candidates, np.ndarray]:
    """Adds a path that stays at its start for every request without a path.

    Returns:
        All Q candidates, and which of them are real paths, `[Q]`.
    """
    missing = np.setdiff1d(np.arange(len(requests.aim)), candidates.request)
    codes = exemplars.class_codes[requests.image_index[missing]]
    stay = np.repeat(codes[:, None], candidates.waypoints.shape[1], axis=1)
    filler = Candidates(missing, requests.aim[missing], np.full(len(missing), -1), stay)
    has_path = np.repeat([True, False], [len(candidates.request), len(missing)])
    return rows.concatenate([candidates, filler]), has_path


def _search(
    model: CompiledModel,
    exemplars: Exemplars,
    requests: Requests,
    candidates: Candidates,
    table: CodeTable | None,
    options: ExplainOptions,
) -> Crossings:
    image = requests.image_index[candidates.request]
    target = np.maximum(candidates.target, 0).astype(np.int32)
    paths = Paths(
        Picked(exemplars.individual, image),
        candidates.waypoints,
        exemplars.predictions[image].astype(np.int32),
        target,
        needed_odds(options.confidence, target, table),
        requests.aim[candidates.request] == ANY,
    )
    return rows.on_host(model.search(paths, tolerance=options.tolerance))


def _draw(
    model: CompiledModel, individual: Individual | Picked, waypoints: np.ndarray, shifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draws images at shifts `[M, S]` of M paths.

    Returns:
        Images `[M, S, height, width, channels]`, and the classifier's probabilities for them `[M, S, K]`.
    """
    path = np.repeat(np.arange(len(shifts)), shifts.shape[1])
    images = model.at(Picked(individual, path), Picked(waypoints, path), shifts.reshape(-1))
    apart = lambda x: x.reshape(*shifts.shape, *x.shape[1:])  # noqa: E731
    return apart(images), apart(model.predict(images))


def _relevance_maps(
    model: CompiledModel, images: np.ndarray, predictions: np.ndarray, counterfactuals: np.ndarray
) -> np.ndarray:
    """Maps `[M, height, width]` of how much each pixel speaks for the exemplar's class, against the counterfactual.

    They are computed by integrated gradients if JAX can differentiate the classifier, otherwise by Shapley values.
    """
    if model.sensitivity is None:
        return exchange_relevance(model.predict, images, counterfactuals, predictions)
    shares = np.linspace(0.0, 1.0, SALIENCY_STEPS + 1, dtype=np.float32)[:, None, None, None]
    line = counterfactuals[:, None] * (1.0 - shares) + images[:, None] * shares
    flat = line.reshape(-1, *images.shape[1:])
    gradients = model.sensitivity(flat, np.repeat(predictions.astype(np.int32), len(shares)))
    return map_batches(_relevance, line, gradients.reshape(line.shape), batch_size=rows_of_a_call(*images.shape[1:3]))


def _saliency(
    model: CompiledModel,
    exemplars: Exemplars,
    image: np.ndarray,
    chosen: Candidates,
    shift: np.ndarray,
    drawn: dict[str, np.ndarray],
    options: ExplainOptions,
) -> np.ndarray:
    """Saliency maps `[M, height, width]` of the kind that the options say, all zero for rows without a shift."""
    of_a_call = rows_of_a_call(*exemplars.images.shape[1:3])
    if options.saliency == "input":
        maps = map_batches(_input_saliency, drawn["counterfactual"], exemplars.images[image], batch_size=of_a_call)
    elif options.saliency == "reconstruction":
        starts = drawn["path_images"][:, 0]
        maps = map_batches(_reconstruction_saliency, drawn["counterfactual"], starts, batch_size=of_a_call)
    elif options.saliency == "relevance":
        maps = np.zeros((len(image), *exemplars.images.shape[1:3]), np.float32)
        if len(found := np.flatnonzero(~np.isnan(shift))):  # the other maps stay zero; a black box is slow to ask
            own = image[found]
            counterfactuals = drawn["counterfactual"][found]
            maps[found] = _relevance_maps(model, exemplars.images[own], exemplars.predictions[own], counterfactuals)
    else:
        individual, target = Picked(exemplars.individual, image), np.maximum(chosen.target, 0)
        stop = np.nan_to_num(shift).astype(np.float32)
        shares = np.linspace(0.0, 1.0, SALIENCY_STEPS + 1, dtype=np.float32)
        images, probabilities = _draw(model, individual, chosen.waypoints, stop[:, None] * shares)
        aimed = np.take_along_axis(probabilities, target[:, None, None], -1)[..., 0]
        maps = map_batches(_path_saliency, images, aimed, batch_size=of_a_call)
    maps = np.where(np.isnan(shift)[:, None, None], 0.0, maps)
    broken = np.asarray(~np.isfinite(maps).all((1, 2)))
    if broken.any():
        log.warning("%d maps are left empty: the classifier has no finite answer to images between", broken.sum())
    return smooth(np.where(broken[:, None, None], 0.0, maps), options.smoothing)


def rows_at_once(exemplars: Exemplars, classes: int, options: ExplainOptions) -> int:
    """Number of rows to explain together, so that the images drawn for them take at most about `MEMORY` bytes."""
    images = 2 * (PATH_IMAGES + 1)  # twice: in batches, and concatenated
    if options.saliency in ("path", "relevance"):
        images += 3 * (SALIENCY_STEPS + 1)  # images along the path, with their gradients
    row = exemplars.images[0].size * images + 2 * classes * (PATH_IMAGES + SALIENCY_STEPS)  # count of 4-byte numbers
    return max(MEMORY // (4 * row * options.diverse), 1)


def _places(request: np.ndarray) -> np.ndarray:
    """The position of each row among the rows of its request, from 0; rows of a request must stand together."""
    _, first, which = np.unique(request, return_index=True, return_inverse=True)
    return np.arange(len(request)) - first[which.reshape(-1)]


def explain_batch(
    model: CompiledModel,
    exemplars: Exemplars,
    requests: Requests,
    route: Route,
    table: CodeTable | None,
    options: ExplainOptions,
) -> Explanation:
    """Explains encoded images.

    Rows whose image has no finite answer by the classifier, or whose path leads through such images, end as NO_ANSWER.

    Args:
        model: compiled generator and classifier.
        exemplars: encoded images.
        requests: images to explain, and the class that each aims at.
        route: function that chooses the paths to search.
        table: code table that says how sure the classifier is of real images; None where nothing asks for it.
        options: options of the explanation.

    Raises:
        ClassifierError: if the classifier's answers along a path are not probabilities.
    """
    candidates, has_path = _with_pathless(_routed(route, exemplars, requests), exemplars, requests)
    image = requests.image_index[candidates.request]
    crossings = _search(model, exemplars, requests, candidates, table, options)
    found = has_path & crossings.finite
    flip_shift = np.where(found, crossings.flip_shift, np.nan)
    shift = np.where(found, crossings.shift, np.nan)
    status = decide_endings(
        exemplars.predictions[image],
        candidates.target,
        has_path,
        np.asarray(crossings.start_prediction),
        flip_shift,
        shift,
        np.asarray(crossings.finite),
    )
    stop = np.nan_to_num(shift, nan=1.0).astype(np.float32)
    codes = map_batches(_along_path, candidates.waypoints, stop)
    if options.diverse > 1:
        margins = options.tolerance * np.linalg.norm(np.diff(candidates.waypoints, axis=1), axis=-1).sum(1)
        best = select_diverse(candidates.request, status, flip_shift, shift, codes, options.diverse, margins)
    else:
        best = select(candidates.request, status, flip_shift, shift)
    tried, confident = (
        np.bincount(candidates.request, of, len(requests.aim)).astype(int)
        for of in (has_path, status == Ending.FLIPPED)
    )

    chosen, image = rows.take(candidates, best), image[best]
    individual = Picked(exemplars.individual, image)
    shifts = np.linspace(0.0, 1.0, PATH_IMAGES, dtype=np.float32)
    every = np.concatenate([np.broadcast_to(shifts, (len(best), PATH_IMAGES)), stop[best, None]], axis=1)
    images, probabilities = _draw(model, individual, chosen.waypoints, every)
    drawn = {"counterfactual": images[:, -1], "path_images": images[:, :-1]}
    target = np.maximum(chosen.target, 0)
    ends = np.where(chosen.target < 0, np.nan, odds_of(probabilities[:, -1], target))
    return Explanation(
        image_index=image,
        prediction=exemplars.predictions[image],
        target=chosen.target,
        status=status[best],
        flip_shift=flip_shift[best],
        shift=shift[best],
        typicality=np.full(len(best), np.nan) if table is None else table.typicality(target, ends),
        individual_bits=model.code_bits(exemplars.individual)[image],
        reference=chosen.reference,
        counterfactual_code=codes[best],
        counterfactual_probabilities=probabilities[:, -1],
        saliency=_saliency(model, exemplars, image, chosen, shift[best], drawn, options),
        path_shifts=shifts,
        path_probabilities=probabilities[:, :-1],
        answer=_places(chosen.request),
        tried=tried[chosen.request],
        confident=confident[chosen.request],
        **drawn,
    )


def concatenate(parts: list[Explanation]) -> Explanation:
    """Joins records into one, row after row."""
    fields = {
        name: parts[0].path_shifts if name == "path_shifts" else np.concatenate([getattr(p, name) for p in parts])
        for name in Explanation.__dataclass_fields__
    }
    return Explanation(**fields)
