"""The methods of the comparison by name: CAE, baselines and controls, in the order of the tables."""

import numpy as np

from cae_jax import baselines
from cae_jax.comparison import cae_methods
from cae_jax.comparison.answers import Attribution, Counterfactual, Counterfactuals, without_path
from cae_jax.comparison.setting import Setting


def _gradient(s: Setting) -> np.ndarray:
    return baselines.gradient(s.classifier.logits, s.images, s.classes)


def _input_times_gradient(s: Setting) -> np.ndarray:
    return baselines.input_times_gradient(s.classifier.logits, s.images, s.classes)


def _smooth_grad(s: Setting) -> np.ndarray:
    return baselines.smooth_grad(s.classifier.logits, s.images, s.classes, seed=s.protocol.seed)


def _integrated_gradients(s: Setting) -> np.ndarray:
    return baselines.integrated_gradients(s.classifier.logits, s.images, s.classes)


def _grad_cam(s: Setting) -> np.ndarray:
    return baselines.grad_cam(s.classifier.tap, s.images, s.classes)


def _grad_cam_plus_plus(s: Setting) -> np.ndarray:
    return baselines.grad_cam_plus_plus(s.classifier.tap, s.images, s.classes)


def _occlusion(s: Setting) -> np.ndarray:
    patch = max(2, s.images.shape[1] // 7)
    return baselines.occlusion(
        s.classifier.predict, s.images, s.classes, fill=s.mean_colour, patch=patch, stride=max(1, patch // 2)
    )


def _rise(s: Setting) -> np.ndarray:
    return baselines.rise(s.classifier.predict, s.images, s.classes, seed=s.protocol.seed)


def _partition_shap(s: Setting) -> np.ndarray:
    return baselines.partition_shap(s.classifier.predict, s.images, s.classes, fill=s.mean_colour)


def _random_map(s: Setting) -> np.ndarray:
    return baselines.random_map(s.images.shape[:3], seed=s.protocol.seed)


def _edge_map(s: Setting) -> np.ndarray:
    return baselines.edge_map(s.images)


def _randomised_classifier(s: Setting) -> np.ndarray:
    from cae_jax.classifiers import make_logits

    params = baselines.randomise(s.classifier.params, seed=s.protocol.seed)
    return baselines.integrated_gradients(make_logits(s.classifier.network, params), s.images, s.classes)


ATTRIBUTIONS: dict[str, Attribution] = {
    "CAE": cae_methods.cae,
    "CAE change": cae_methods.cae_change,
    "CAE as published": cae_methods.cae_published,
    "gradient": _gradient,
    "input × gradient": _input_times_gradient,
    "SmoothGrad": _smooth_grad,
    "integrated gradients": _integrated_gradients,
    "Grad-CAM": _grad_cam,
    "Grad-CAM++": _grad_cam_plus_plus,
    "occlusion": _occlusion,
    "RISE": _rise,
    "partition SHAP": _partition_shap,
    "control: random map": _random_map,
    "control: edges": _edge_map,
    "control: reconstruction error": cae_methods.reconstruction_error,
    "control: random code direction": cae_methods.random_direction_maps,
    "control: randomised classifier": _randomised_classifier,
}


def _nearest_unlike(s: Setting) -> Counterfactuals:
    answers = s.explainer.predict(s.train_images)
    found = baselines.nearest_unlike_neighbour(
        s.images, s.targets, s.train_images, answers, confidence=s.protocol.confidence
    )
    return without_path(s, found)


def _pixel_search(s: Setting) -> Counterfactuals:
    found = baselines.pixel_search(s.classifier.logits, s.images, s.targets, confidence=s.protocol.confidence)
    return without_path(s, found)


def _autoencoder_shift(s: Setting) -> Counterfactuals:
    autoencoder = baselines.fit_autoencoder(s.train_images, seed=s.protocol.seed)
    found = baselines.latent_shift(
        autoencoder, s.classifier.predict, s.images, s.targets, confidence=s.protocol.confidence
    )
    return without_path(s, found)._replace(bases=autoencoder.reconstruct(s.images))


def _no_change(s: Setting) -> Counterfactuals:
    return without_path(s, s.images)


COUNTERFACTUALS: dict[str, Counterfactual] = {
    "CAE": cae_methods.cae_counterfactuals,
    "CAE with residual": cae_methods.cae_residual_counterfactuals,
    "nearest unlike neighbour": _nearest_unlike,
    "pixel search (Wachter)": _pixel_search,
    "latent shift in an autoencoder": _autoencoder_shift,
    "control: random code direction": cae_methods.random_direction,
    "control: the image itself": _no_change,
}
