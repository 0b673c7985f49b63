"""From a trained workdir to explanations: the `Explainer`, reading images, writing results."""

from cae_jax.explaining.explainer import Explainer
from cae_jax.explaining.inputs import InputError, read_images
from cae_jax.explaining.outputs import write_explanation

__all__ = ["Explainer", "InputError", "read_images", "write_explanation"]
