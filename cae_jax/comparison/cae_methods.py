"""CAE's own rows of the comparison, and the controls that are made of its codes."""

import numpy as np

from cae_jax import baselines
from cae_jax.comparison.task import Counterfactuals, Task
from cae_jax.counterfactual import STRATEGIES, CodeTable, nearest_classes
from cae_jax.explaining import Aim, Explainer, ExplainOptions, attribute
from cae_jax.parallel.rows import take

DIVERSE = 3
PUBLISHED = {"strategy": "medoid", "references": 1}  # for a reference that was picked by hand: of the nearest class
SHIFTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
IMAGES = 64  # at once, of those explained as published


def cae(task: Task) -> np.ndarray:
    """As the bench config asks, toward every other class."""
    return attribute(task.explainer, task.images, task.classes, **task.attribution)


def cae_change(task: Task) -> np.ndarray:
    """What the decoder changed, |D(c, s') - D(c, s)|, toward the class that is confident first."""
    options = task.cae | {"confidence": task.confidence, "saliency": "reconstruction", "residual": False}
    return np.abs(task.explainer.explain(task.images, Aim.ANY, **options).saliency)


def cae_published(task: Task) -> np.ndarray:
    """As published: the first image of six on a straight line to one reference whose answer differs, less the input."""
    return published_maps(task.explainer, task.images, ExplainOptions(confidence=task.confidence, **PUBLISHED))


def reconstruction_error(task: Task) -> np.ndarray:
    """A control: what the CAE fails to draw, which knows nothing of the classifier."""
    return baselines.reconstruction_error(task.images, task.reconstructions)


def _randomly_shifted(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Images drawn with class codes moved as far as CAE moves them, but in random directions."""
    found = task.explainer.explain(task.images, task.targets, confidence=task.confidence)
    codes, class_codes = task.explainer.encode(task.images)
    lengths = np.linalg.norm(found.counterfactual_code - class_codes, axis=-1)
    moved = baselines.random_code_direction(class_codes, lengths, task.seed)
    return task.explainer.decode(codes, moved), task.explainer.decode(codes, class_codes)


def random_direction_maps(task: Task) -> np.ndarray:
    """A control: what changes when the class code is moved in a random direction."""
    moved, base = _randomly_shifted(task)
    return np.abs(moved - base).mean(-1)


def random_direction(task: Task) -> Counterfactuals:
    """A control: the class code moved as far as CAE moves it, in a random direction."""
    moved, base = _randomly_shifted(task)
    return Counterfactuals(moved, base, np.full(len(moved), np.nan))


def _counterfactuals(task: Task, residual: bool, diverse: bool) -> Counterfactuals:
    changed = {"confidence": task.confidence, "saliency": "reconstruction", "residual": residual}
    asked = task.cae | changed
    found = task.explainer.explain(task.images, task.targets, **asked)
    several = None
    if diverse:
        several = np.full((len(task.images), DIVERSE, *task.images.shape[1:]), np.nan, np.float32)
        for more in task.explainer.explain_batches(task.images, task.targets, diverse=DIVERSE, **asked):
            several[more.image_index, more.answer] = more.counterfactual  # an image may have fewer
    return Counterfactuals(found.counterfactual, found.path_images[:, 0], found.shift, several)


def cae_counterfactuals(task: Task) -> Counterfactuals:
    """At the shift where the target is confident; at the path's end where it never is."""
    return _counterfactuals(task, residual=False, diverse=True)


def cae_residual_counterfactuals(task: Task) -> Counterfactuals:
    """The same, with the exemplar itself kept where the class code changed nothing."""
    return _counterfactuals(task, residual=True, diverse=False)


def _reference_codes(
    table: CodeTable, class_codes: np.ndarray, predictions: np.ndarray, options: ExplainOptions
) -> np.ndarray:
    """The class codes of references, `[N, size]`; an image's own where there is none in the whole table."""
    ends = class_codes.copy()
    left = np.arange(len(ends))
    for least in (options.confidence, 0.0):  # a doubtful reference is better than none: there always is a map
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

    On a straight line from the exemplar's class code to that of one reference, the first of six images that the
    classifier gives another class than the exemplar, or else the last one; of it the difference from the exemplar.

    Args:
        explainer: of a trained run.
        images: `[N, height, width, channels]` float32 in [0, 1].
        options: strategy, one reference, and the confidence that it has, where any has it.

    Returns:
        `[N, height, width]` in [0, 1], a map for every image.
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
