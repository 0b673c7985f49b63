"""Image classifiers: the small ones that we train ourselves, and those of other frameworks. No named data."""

from cae_jax.classifiers.answers import ClassifierError, check_answers
from cae_jax.classifiers.fingerprint import (
    Identity,
    array_digest,
    ask,
    classifier_files,
    differences,
    file_digest,
    read_identity,
    same_answers,
)
from cae_jax.classifiers.fitting import fit_classifier
from cae_jax.classifiers.foreign import Foreign, Reference, load_foreign
from cae_jax.classifiers.networks import ResidualClassifier, SmallCNN, make_classifier, make_logits, make_predict
from cae_jax.classifiers.preparation import Preparation, make_head
from cae_jax.classifiers.taps import last_convolution, make_tap
from cae_jax.classifiers.torch_models import read_tensors, write_tensors

__all__ = [
    "ClassifierError",
    "Foreign",
    "Identity",
    "Preparation",
    "Reference",
    "ResidualClassifier",
    "SmallCNN",
    "array_digest",
    "ask",
    "check_answers",
    "classifier_files",
    "differences",
    "file_digest",
    "fit_classifier",
    "last_convolution",
    "load_foreign",
    "make_classifier",
    "make_head",
    "make_logits",
    "make_predict",
    "make_tap",
    "read_identity",
    "read_tensors",
    "same_answers",
    "write_tensors",
]
