"""Scores of a method's results: one value an image, for confidence intervals and paired differences."""

import functools
import hashlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from cae_jax import metrics
from cae_jax.classifiers import classes_of, spatial_means
from cae_jax.comparison.task import Counterfactuals, Judge, Task
from cae_jax.data.phantom import mask_of_mark
from cae_jax.parallel.batching import map_batches

REAL = 2000  # training images that KID compares counterfactuals with
SMOOTHING = 1.0  # width, in pixels, of the Gaussian that maps are blurred with for the control of ROAD


class Score(NamedTuple):
    """A method's values in one score.

    Attributes:
        values: value of each image, `[N]`, NaN where there is none; or one value of all images together, `[]`.
        lower_is_better: whether lower values are better.
    """

    values: np.ndarray
    lower_is_better: bool = False


def _higher(values: npt.ArrayLike) -> Score:
    """A score for which higher values are better."""
    return Score(np.asarray(values, np.float64))


def lower(values: npt.ArrayLike) -> Score:
    """A score for which lower values are better."""
    return Score(np.asarray(values, np.float64), lower_is_better=True)


class AttributionScores:
    """Scores saliency maps; the functions are compiled once for all methods. Where the truth is known, it leads."""

    def __init__(self, task: Task, judge: Judge):
        self._task, self._judge = task, judge

    def _both(self, images: jax.Array) -> jax.Array:
        """Probabilities by the explained classifier and by the one that is used to missing cells, `[batch, 2, K]`."""
        return jnp.stack([self._task.classifier.predict(images), self._judge.used_to_gaps.predict(images)], axis=1)

    def __call__(self, maps: np.ndarray) -> dict[str, Score]:
        """Returns the scores of saliency maps `[N, height, width]`, by name."""
        return self._localised(maps) | self._removed(maps) | self._road(maps)

    def _removed(self, maps: np.ndarray) -> dict[str, Score]:
        """Scores of curves, as means over the fills and by each of them."""
        task, (patch, steps, fills) = self._task, self._task.removal
        watch = functools.partial(
            metrics.perturbation_curves,
            images=task.images,
            classes=task.classes,
            saliency=maps,
            patch=patch,
            steps=steps,
            seed=self._judge.protocol.seed,
        )
        areas, drops = [], []
        for fill in fills.values():
            first, last = (watch(self._both, fill=fill, order=order) for order in ("morf", "lerf"))
            areas.append(metrics.area_between(first, last))
            drops.append(metrics.aopc(first[0]))
        plain, used = np.mean(areas, axis=0)
        inserted = watch(task.classifier.predict, fill=next(iter(fills.values())), mode="insert")
        return {
            "LeRF−MoRF": _higher(plain),
            "LeRF−MoRF, used to gaps": _higher(used),
            **{f"LeRF−MoRF ({name})": _higher(area[0]) for name, area in zip(fills, areas, strict=True)},
            **{f"AOPC ({name})": _higher(drop) for name, drop in zip(fills, drops, strict=True)},
            "insertion": _higher(metrics.area_under(inserted)),
        }

    def _road(self, maps: np.ndarray) -> dict[str, Score]:
        task, protocol = self._task, self._judge.protocol
        smooth = gaussian_filter(maps, (0, SMOOTHING, SMOOTHING), mode="nearest")
        ask = functools.partial(metrics.road, task.classifier.predict, task.images, task.classes)
        scores = {}
        for name, some in (("ROAD", maps), ("ROAD, blurred", smooth)):
            scores[name] = lower(ask(some, shares=protocol.road_shares, seed=protocol.seed).mean(-1))
        return scores

    def _localised(self, maps: np.ndarray) -> dict[str, Score]:
        truth = self._judge.truth
        if truth is None:
            return {}
        scores = {
            "pointing game": _higher(metrics.pointing_game(maps, truth.masks)),
            "rank accuracy": _higher(metrics.relevance_rank_accuracy(maps, truth.masks)),
            "mass accuracy": _higher(metrics.relevance_mass_accuracy(maps, truth.masks)),
            "IoU": _higher(metrics.top_k_iou(maps, truth.masks)),
        }
        if truth.planted.any():
            mark = mask_of_mark(maps.shape[1])[None] & truth.planted[:, None, None]
            scores["mass on the mark"] = _higher(metrics.relevance_mass_accuracy(maps, mark))
        return scores


def _digests(images: np.ndarray) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for image in images]


class CounterfactualScores:
    """Scores counterfactuals. The features of KID are the spatial means of the oracle's last convolution."""

    def __init__(self, task: Task, judge: Judge):
        self._task, self._judge = task, judge
        self._features = functools.partial(map_batches, spatial_means(judge.oracle.tap))
        rows = np.random.default_rng(judge.protocol.seed).permutation(len(task.train_images))[:REAL]
        self._real = self._features(task.train_images[rows])
        self._real_classes = classes_of(task.explainer.answers(task.train_images[rows]))
        self._real_digests = _digests(task.train_images[rows])

    def __call__(self, found: Counterfactuals) -> dict[str, Score]:
        """Returns the scores of counterfactuals, by name; each KID is a single value of all images together."""
        task, (protocol, judge, svm, _, truth) = self._task, self._judge
        images, targets = np.asarray(found.images, np.float32), task.targets
        answers, oracle = task.explainer.answers(images), map_batches(judge.predict, images)
        rows, given = np.arange(len(images)), classes_of(answers)
        scores = {
            "validity": _higher(metrics.validity(answers, targets)),
            "confident": _higher(answers[rows, targets] >= protocol.confidence - 1e-3),
            "flip rate": _higher((given >= 0) & (given != task.classes)),
            "oracle": _higher(metrics.validity(oracle, targets)),
            "L1": lower(metrics.l1_distance(images, task.images)),
            "L2": lower(metrics.l2_distance(images, task.images)),
            "L1 to own base": lower(metrics.l1_distance(images, found.bases)),
            "sparsity": lower(metrics.sparsity(images, task.images, protocol.changed)),
            "COUT": _higher(metrics.cout(task.classifier.predict, task.images, images, task.classes, targets)),
            "shift": lower(found.shifts),
        }
        if svm is not None:
            scores["SVM"] = _higher(svm(images) == targets)
        if truth is not None:
            true_images = truth.counterfactuals[rows, targets] / np.float32(255.0)
            scores["truth L1"] = lower(metrics.distance_to_truth(images, true_images))
        if found.diverse is not None:
            scores["diversity"] = _higher(metrics.diversity(found.diverse))
        features, (real, classes) = self._features(images), self._real_but(images)
        enough = min(len(features), len(real)) > 1
        scores["KID"] = lower(metrics.kid(features, real, seed=protocol.seed) if enough else np.nan)
        scores["class KID"] = lower(metrics.kid_to_classes(features, targets, real, classes, seed=protocol.seed))
        return scores

    def _real_but(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features of real images, and their classes, without those that a method returned: it would score itself."""
        returned = set(_digests(images))
        others = np.asarray([digest not in returned for digest in self._real_digests], bool) & (self._real_classes >= 0)
        return self._real[others], self._real_classes[others]
