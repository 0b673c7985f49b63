"""The methods of the comparison, by name and in the order of the tables: CAE, baselines and controls."""

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from cae_jax import baselines, metrics
from cae_jax.comparison import cae_methods
from cae_jax.comparison.task import Counterfactuals, Task


class Role(enum.Enum):
    """The role of a method in the comparison."""

    OURS = "compared with the others"
    VARIANT = "another way to ask CAE, compared with nobody"
    BASELINE = "another method"
    CONTROL = "knows nothing of the classifier's decision"
    CEILING = "knows how it is scored, compared with nobody"


class Method(NamedTuple):
    """A method of the comparison.

    Attributes:
        answer: function from a task to saliency maps `[N, height, width]`, higher where a pixel is more relevant to the
            classifier's answer; or to `Counterfactuals` toward the task's targets.
        role: role of the method in the comparison.
        inside: whether it needs gradients, layers or parameters of the classifier; a black box's student has them.
    """

    answer: Callable[[Task], Any]
    role: Role = Role.BASELINE
    inside: bool = False


def _explained(task: Task) -> tuple[baselines.WhiteBox, np.ndarray, np.ndarray]:
    return task.classifier, task.images, task.classes


def _sought(task: Task) -> tuple[baselines.WhiteBox, np.ndarray, np.ndarray]:
    return task.classifier, task.images, task.targets


def _occlusion(task: Task) -> np.ndarray:
    patch = max(2, task.images.shape[1] // 7)
    sizes = {"patch": patch, "stride": max(1, patch // 2)}
    return baselines.occlusion(*_explained(task), fill=task.mean_colour, **sizes)


def _cae_and_occlusion(task: Task) -> np.ndarray:
    """The mean of the ranks of a pixel in CAE's map and in that of occlusion, in [0, 1]."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (cae_methods.cae(task), _occlusion(task))]
    return (np.mean(ranks, axis=0) / ranks[0].shape[1]).reshape(task.images.shape[:3])


def _searched(task: Task) -> np.ndarray:
    """The order that a search finds on the answers that are scored; imputation is slow, and left out if it can be."""
    patch, steps, fills = task.removal
    quick = [fill for name, fill in fills.items() if name != "imputation"] or list(fills.values())
    return metrics.search_order(
        task.classifier.predict, task.images, task.classes, patch=patch, steps=steps, fills=quick, seed=task.seed
    )


def _randomised_classifier(task: Task) -> np.ndarray:
    return baselines.integrated_gradients(task.classifier.redrawn(task.seed), task.images, task.classes)


ATTRIBUTIONS: dict[str, Method] = {
    "CAE": Method(cae_methods.cae, Role.OURS),
    "CAE change": Method(cae_methods.cae_change, Role.VARIANT),
    "CAE as published": Method(cae_methods.cae_published, Role.VARIANT),
    "CAE + occlusion": Method(_cae_and_occlusion, Role.VARIANT),
    "gradient": Method(lambda task: baselines.gradient(*_explained(task)), inside=True),
    "input × gradient": Method(lambda task: baselines.input_times_gradient(*_explained(task)), inside=True),
    "SmoothGrad": Method(lambda task: baselines.smooth_grad(*_explained(task), seed=task.seed), inside=True),
    "integrated gradients": Method(lambda task: baselines.integrated_gradients(*_explained(task)), inside=True),
    "Grad-CAM": Method(lambda task: baselines.grad_cam(*_explained(task)), inside=True),
    "Grad-CAM++": Method(lambda task: baselines.grad_cam_plus_plus(*_explained(task)), inside=True),
    "occlusion": Method(_occlusion),
    "RISE": Method(lambda task: baselines.rise(*_explained(task), seed=task.seed)),
    "partition SHAP": Method(lambda task: baselines.partition_shap(*_explained(task), fill=task.mean_colour)),
    "control: random map": Method(
        lambda task: baselines.random_map(task.images.shape[:3], seed=task.seed), Role.CONTROL
    ),
    "control: edges": Method(lambda task: baselines.edge_map(task.images), Role.CONTROL),
    "control: reconstruction error": Method(cae_methods.reconstruction_error, Role.CONTROL),
    "control: random code direction": Method(cae_methods.random_direction_maps, Role.CONTROL),
    "control: randomised classifier": Method(_randomised_classifier, Role.CONTROL, inside=True),
    "ceiling: order found by search": Method(_searched, Role.CEILING),
}


def _without_path(task: Task, images: np.ndarray, bases: np.ndarray | None = None) -> Counterfactuals:
    """The counterfactuals of a method without paths; `bases`, which it changed, are the images if not given."""
    bases = task.images if bases is None else bases
    return Counterfactuals(np.asarray(images, np.float32), bases, np.full(len(images), np.nan))


def _nearest_unlike(task: Task) -> Counterfactuals:
    options = {"pool": task.train_images, "confidence": task.confidence}
    return _without_path(task, baselines.nearest_unlike_neighbour(*_sought(task), **options))


def _pixel_search(task: Task) -> Counterfactuals:
    return _without_path(task, baselines.pixel_search(*_sought(task), confidence=task.confidence))


def _autoencoder_shift(task: Task) -> Counterfactuals:
    autoencoder = baselines.fit_autoencoder(task.train_images, seed=task.seed)
    found = baselines.latent_shift(*_sought(task), autoencoder=autoencoder, confidence=task.confidence)
    return _without_path(task, found, autoencoder.reconstruct(task.images))


COUNTERFACTUALS: dict[str, Method] = {
    "CAE": Method(cae_methods.cae_counterfactuals, Role.OURS),
    "CAE typical": Method(cae_methods.cae_typical_counterfactuals, Role.VARIANT),
    "CAE with residual": Method(cae_methods.cae_residual_counterfactuals, Role.VARIANT),
    "nearest unlike neighbour": Method(_nearest_unlike),
    "pixel search (Wachter)": Method(_pixel_search, inside=True),
    "latent shift in an autoencoder": Method(_autoencoder_shift, inside=True),
    "control: random code direction": Method(cae_methods.random_direction, Role.CONTROL),
    "control: the image itself": Method(lambda task: _without_path(task, task.images), Role.CONTROL),
}

KINDS = {"attributions": ATTRIBUTIONS, "counterfactuals": COUNTERFACTUALS}
