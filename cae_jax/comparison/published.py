"""The explanation as it was published (Xie et al., ICDE 2024, arXiv 2406.07961), to compare with."""

import numpy as np

from cae_jax.counterfactual import STRATEGIES, CodeTable, nearest_classes
from cae_jax.explaining import Explainer, ExplainOptions
from cae_jax.parallel.rows import take

SHIFTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
IMAGES = 64  # at once


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
    """Saliency maps by the published rule.

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
