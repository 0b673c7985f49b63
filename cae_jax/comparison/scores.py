"""Scores of what a method answered: one value an image, so that intervals and pairs can be made of them."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from cae_jax import metrics
from cae_jax.comparison.answers import Counterfactuals
from cae_jax.comparison.setting import Setting
from cae_jax.config.protocol import Protocol
from cae_jax.data.phantom import mask_of_mark
from cae_jax.parallel.batching import map_batches


def _fills(protocol: Protocol, setting: Setting) -> dict[str, metrics.Fill]:
    makers: dict[str, Callable[[], metrics.Fill]] = {
        "mean": lambda: metrics.mean_fill(setting.mean_colour),
        "blur": lambda: metrics.blur_fill(protocol.blur),
        "imputation": lambda: metrics.noisy_linear_imputation(),
    }
    return {name: makers[name]() for name in protocol.fills}


class AttributionScores:
    """Scores maps; compiled once for all methods."""

    def __init__(self, setting: Setting):
        self._setting = setting
        protocol = setting.protocol
        self._curves = {
            name: functools.partial(
                metrics.perturbation_curves,
                setting.classifier.predict,
                setting.images,
                setting.classes,
                patch=protocol.patch,
                steps=protocol.steps,
                fill=fill,
                seed=protocol.seed,
            )
            for name, fill in _fills(protocol, setting).items()
        }

    def __call__(self, maps: np.ndarray) -> dict[str, np.ndarray]:
        """Scores `[N]` by name of maps `[N, height, width]`."""
        setting, protocol = self._setting, self._setting.protocol
        scores: dict[str, np.ndarray] = {}
        for number, (name, curves) in enumerate(self._curves.items()):
            suffix = f" ({name})" if number else ""
            first, last = (curves(maps, order=order) for order in ("morf", "lerf"))
            scores |= {
                f"AOPC{suffix}": metrics.aopc(first),
                f"LeRF−MoRF{suffix}": metrics.area_between(first, last),
                f"deletion{suffix}": metrics.area_under(first),
            }
            if not number:
                scores |= {
                    "insertion": metrics.area_under(curves(maps, order="morf", mode="insert")),
                    "drop at 20 %": metrics.probability_drop(first, 0.2),
                }
        hits = metrics.road(
            setting.classifier.predict,
            setting.images,
            setting.classes,
            maps,
            shares=protocol.road_shares,
            seed=protocol.seed,
        )
        scores["ROAD"] = hits.mean(-1)
        if setting.truth is not None:
            masks = setting.truth.masks
            scores |= {
                "pointing game": metrics.pointing_game(maps, masks),
                "rank accuracy": metrics.relevance_rank_accuracy(maps, masks),
                "mass accuracy": metrics.relevance_mass_accuracy(maps, masks),
                "IoU": metrics.top_k_iou(maps, masks),
                "Dice": metrics.top_k_dice(maps, masks),
            }
            if setting.truth.planted.any():
                mark = mask_of_mark(maps.shape[1])[None] & setting.truth.planted[:, None, None]
                scores["mass on the mark"] = metrics.relevance_mass_accuracy(maps, mark)
        return {name: np.asarray(values, np.float64) for name, values in scores.items()}


REAL = 2000  # training images that KID compares with
_LOWER = ("deletion", "ROAD", "L1", "L2", "sparsity", "truth", "KID", "seconds")


def better(name: str) -> int:
    """1 if a higher score is better, -1 if a lower one is."""
    return -1 if name.startswith(_LOWER) else 1


class CounterfactualScores:
    """Scores counterfactuals. KID's features are the spatial means of the oracle's last convolution."""

    def __init__(self, setting: Setting):
        self._setting = setting
        pooled = jax.jit(lambda images: setting.oracle.tap(images, 0.0)[1].mean((1, 2)))
        self._features = functools.partial(map_batches, pooled)
        rows = np.random.default_rng(setting.protocol.seed).permutation(len(setting.train_images))[:REAL]
        self._real = self._features(setting.train_images[rows])

    def __call__(self, found: Counterfactuals) -> dict[str, np.ndarray]:
        """Scores `[N]` by name."""
        setting, protocol = self._setting, self._setting.protocol
        images = np.asarray(found.images, np.float32)
        answers, oracle = setting.explainer.predict(images), map_batches(setting.oracle.predict, images)
        scores = {
            "validity": metrics.validity(answers, setting.targets),
            "confident": answers[np.arange(len(images)), setting.targets] >= protocol.confidence - 1e-3,
            "flip rate": answers.argmax(-1) != setting.classes,
            "oracle": metrics.validity(oracle, setting.targets),
            "L1": metrics.l1_distance(images, setting.images),
            "L2": metrics.l2_distance(images, setting.images),
            "L1 to own base": metrics.l1_distance(images, found.bases),
            "sparsity": metrics.sparsity(images, setting.images, protocol.changed),
            "COUT": metrics.cout(setting.classifier.predict, setting.images, images, setting.classes, setting.targets),
            "shift": found.shifts,
        }
        if setting.truth is not None:
            rows = np.arange(len(images))
            truths = setting.truth.counterfactuals[rows, setting.targets] / np.float32(255.0)
            scores["truth L1"] = metrics.distance_to_truth(images, truths)
        if found.diverse is not None:
            scores["diversity"] = metrics.diversity(found.diverse)
        return {name: np.asarray(values, np.float64) for name, values in scores.items()}

    def kid(self, images: np.ndarray) -> float:
        """Kernel distance of images from real ones, over all of them."""
        return metrics.kid(self._features(images), self._real, seed=self._setting.protocol.seed)
