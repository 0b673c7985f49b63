"""Explains images with a trained CAE: the `Explainer`, reading of images, and jobs that write results to folders."""

from cae_jax.classifiers import ClassifierError
from cae_jax.counterfactual import Shortfall, find_shortfalls
from cae_jax.errors import InputError
from cae_jax.explaining.attribution import Attribution, attribute, quantus_explain_func
from cae_jax.explaining.codes import CodePart, SplitCodes, code_parts, codes_file, encode_splits
from cae_jax.explaining.explainer import Explainer
from cae_jax.explaining.inputs import FileInputs, SplitInputs, read_image, read_images
from cae_jax.explaining.job import explain_to_folder
from cae_jax.explaining.loading import results_folder, shipped_explainers
from cae_jax.explaining.overview import Overview, describe, describe_to_folder
from cae_jax.explaining.requests import Aim, find_target
from cae_jax.options import ExplainOptions

__all__ = [
    "Aim",
    "Attribution",
    "ClassifierError",
    "CodePart",
    "ExplainOptions",
    "Explainer",
    "FileInputs",
    "InputError",
    "Overview",
    "Shortfall",
    "SplitCodes",
    "SplitInputs",
    "attribute",
    "code_parts",
    "codes_file",
    "describe",
    "describe_to_folder",
    "encode_splits",
    "explain_to_folder",
    "find_shortfalls",
    "find_target",
    "quantus_explain_func",
    "read_image",
    "read_images",
    "results_folder",
    "shipped_explainers",
]
