"""Baselines: the methods that class association embedding is compared with, and controls.

A method is a function of a classifier, images and classes, with whatever else it needs as keyword arguments. It returns
saliency maps or, given target classes, counterfactuals. Controls are functions of arrays alone, as they know nothing of
the classifier.

Nothing here reads files, names data sets or scores results; scores are in `metrics`.
"""

from cae_jax.baselines.autoencoder import Autoencoder, fit_autoencoder
from cae_jax.baselines.cam import grad_cam, grad_cam_plus_plus
from cae_jax.baselines.controls import edge_map, random_code_direction, random_map, randomise, reconstruction_error
from cae_jax.baselines.gradients import gradient, input_times_gradient, integrated_gradients, smooth_grad
from cae_jax.baselines.inputs import WhiteBox
from cae_jax.baselines.latent_shift import latent_shift
from cae_jax.baselines.nearest_unlike import nearest_unlike_neighbour
from cae_jax.baselines.occlusion import occlusion, rise
from cae_jax.baselines.shapley import partition_shap
from cae_jax.baselines.wachter import pixel_search

__all__ = [
    "Autoencoder",
    "WhiteBox",
    "edge_map",
    "fit_autoencoder",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient",
    "input_times_gradient",
    "integrated_gradients",
    "latent_shift",
    "nearest_unlike_neighbour",
    "occlusion",
    "partition_shap",
    "pixel_search",
    "random_code_direction",
    "random_map",
    "randomise",
    "reconstruction_error",
    "rise",
    "smooth_grad",
]
