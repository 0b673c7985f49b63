"""The methods of the comparison that use a CAE: its own explanations, and controls made from its codes."""

from typing import Any

import numpy as np

from cae_jax import baselines
from cae_jax.comparison.task import Counterfactuals, Task
from cae_jax.counterfactual import STRATEGIES, CodeTable, nearest_classes
from cae_jax.explaining import Aim, Explainer, ExplainOptions, attribute
from cae_jax.options import TYPICAL, Confidence
from cae_jax.parallel.rows import take

DIVERSE = 3
PUBLISHED = {"strategy": "medoid", "references": 1}  # the nearest class's medoid; the paper picks references by hand
SHIFTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
IMAGES = 64  # images explained together by the published rule


def cae(task: Task) -> np.ndarray:
    """CAE's saliency maps toward every other class, with the options of the bench config."""
    return attribute(task.explainer, task.images, task.classes, **task.attribution)


def cae_change(task: Task) -> np.ndarray:
    """What the decoder changed, |D(c, s') - D(c, s)|, toward the class that becomes confident first.

    D is the decoder, c the individual code, s the image's class code and s' that of the counterfactual.
    """
    options = task.cae | {"confidence": task.confidence, "saliency": "reconstruction", "residual": False}
    return np.abs(task.explainer.explain(task.images, Aim.ANY, **options).saliency)


def cae_published(task: Task) -> np.ndarray:
    """CAE's saliency maps by the published rule, see `published_maps`."""
    return published_maps(task.explainer, task.images, ExplainOptions(confidence=task.confidence, **PUBLISHED))


def reconstruction_error(task: Task) -> np.ndarray:
    """A control: the CAE's reconstruction error, which knows nothing of the classifier."""
    return baselines.reconstruction_error(task.images, task.reconstructions)


def _randomly_shifted(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Images whose class codes are moved in random directions, as far as CAE moves them; and the reconstructions."""
    options: dict[str, Any] = task.cae | {"confidence": task.confidence}
    found = task.explainer.explain(task.images, task.targets, **options)
    codes, class_codes = task.explainer.encode(task.images)
    lengths = np.linalg.norm(found.counterfactual_code - class_codes, axis=-1)
    moved = baselines.random_code_direction(class_codes, lengths, task.seed)
    return task.explainer.decode(codes, moved), task.explainer.decode(codes, class_codes)


def random_direction_maps(task: Task) -> np.ndarray:
    """A control: maps of what changes when the class code is moved in a random direction, as far as CAE moves it."""
    moved, base = _randomly_shifted(task)
    return np.abs(moved - base).mean(-1)


def random_direction(task: Task) -> Counterfactuals:
    """A control: images whose class code is moved in a random direction, as far as CAE moves it."""
    moved, base = _randomly_shifted(task)
    return Counterfactuals(moved, base, np.full(len(moved), np.nan))


def _counterfactuals(task: Task, confidence: Confidence, residual: bool, diverse: bool) -> Counterfactuals:
    changed = {"confidence": confidence, "saliency": "reconstruction", "residual": residual}
    asked = task.cae | changed
    found = task.explainer.explain(task.images, task.targets, **asked)
    several = None
    if diverse:
        several = np.full((len(task.images), DIVERSE, *task.images.shape[1:]), np.nan, np.float32)
        for more in task.explainer.explain_batches(task.images, task.targets, diverse=DIVERSE, **asked):
            several[more.image_index, more.answer] = more.counterfactual  # an image may have fewer
    return Counterfactuals(found.counterfactual, found.path_images[:, 0], found.shift, several)


def cae_counterfactuals(task: Task) -> Counterfactuals:
    """CAE's counterfactuals: the image at which the target becomes confident, or the path's end if it never does."""
    return _counterfactuals(task, task.confidence, residual=False, diverse=True)


def cae_typical_counterfactuals(task: Task) -> Counterfactuals:
    """CAE's counterfactuals by default: where the classifier is as sure of the target as of its typical images."""
    return _counterfactuals(task, TYPICAL, residual=False, diverse=False)


def cae_residual_counterfactuals(task: Task) -> Counterfactuals:
    """CAE's counterfactuals, with the exemplar itself kept wherever the class code changes nothing."""
    return _counterfactuals(task, task.confidence, residual=True, diverse=False)


def _reference_codes(
    table: CodeTable, class_codes: np.ndarray, predictions: np.ndarray, options: ExplainOptions
) -> np.ndarray:
    """Class codes of a reference for each image, `[N, size]`; the image's own where the code table has no reference."""
    ends = class_codes.copy()
    left = np.arange(len(ends))
    for least in (options.confidence, 0.0):  # a reference without confidence is better than none: each image gets a map
        codes = class_codes[left]
        which, classes = nearest_classes(table, codes, predictions[left], options.references, least)
        found = STRATEGIES[options.strategy](table, least)(codes[which], classes, 1)
        done = which[found.request]
        ends[left[done]] = found.waypoints[:, -1]
        left = np.delete(left, done)
        if not len(left):
            break
    return ends


def published_maps(explainer: Explainer, images: np.ndarray, options: ExplainOptions) -> np.ndarray:
    """Saliency maps by the published rule (Xie et al., ICDE 2024, arXiv 2406.07961).

    Six images are decoded along the straight line from the exemplar's class code to that of one reference. The map is
    the absolute difference of the exemplar from the first of them that the classifier gives another class than the
    exemplar, or from the last one if there is none.

    Args:
        explainer: explainer of a trained run.
        images: exemplars, `[N, height, width, channels]` float32 in [0, 1].
        options: options of which the strategy, the number of references (1) and the confidence are used; a reference
            has this confidence, if any has.

    Returns:
        Maps `[N, height, width]` in [0, 1].
    """
    maps = []
    for start in range(0, len(images), IMAGES):
        exemplars = images[start : start + IMAGES]
        individual, starts = explainer.encode(exemplars)
        predictions = explainer.predict(exemplars).argmax(-1)
        ends = _reference_codes(explainer.code_table, starts, predictions, options)
        generated, going = np.empty_like(exemplars), np.arange(len(exemplars))
        for shift in np.asarray(SHIFTS, np.float32):
            class_codes = starts[going] * (1 - shift) + ends[going] * shift
            generated[going] = explainer.decode(take(individual, going), class_codes)
            going = going[explainer.predict(generated[going]).argmax(-1) == predictions[going]]
            if not len(going):
                break
        maps.append(np.abs(generated - exemplars).mean(-1))
    return np.concatenate(maps)
