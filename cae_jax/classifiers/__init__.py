"""Image classifiers: the small ones that we train ourselves, and those of other frameworks. No named data."""

from cae_jax.classifiers.answers import (
    ClassifierError,
    check_answers,
    classes_of,
    make_answer,
    predicted_classes,
    with_sound_gradients,
)
from cae_jax.classifiers.contract import ASKED, Classifier, Contract
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
from cae_jax.classifiers.foreign import Foreign, Reference, load_foreign, wrap_function
from cae_jax.classifiers.networks import ResidualClassifier, SmallCNN, make_classifier, make_logits, make_predict
from cae_jax.classifiers.outputs import make_head
from cae_jax.classifiers.preparation import Preparation
from cae_jax.classifiers.support_vectors import Classify, svm_judge
from cae_jax.classifiers.taps import last_convolution, make_tap, spatial_means
from cae_jax.classifiers.torch_models import read_tensors, write_tensors

__all__ = [
    "ASKED",
    "Classifier",
    "ClassifierError",
    "Classify",
    "Contract",
    "Foreign",
    "Identity",
    "Preparation",
    "Reference",
    "ResidualClassifier",
    "SmallCNN",
    "array_digest",
    "ask",
    "check_answers",
    "classes_of",
    "classifier_files",
    "differences",
    "file_digest",
    "fit_classifier",
    "last_convolution",
    "load_foreign",
    "make_answer",
    "make_classifier",
    "make_head",
    "make_logits",
    "make_predict",
    "make_tap",
    "predicted_classes",
    "read_identity",
    "read_tensors",
    "same_answers",
    "spatial_means",
    "svm_judge",
    "with_sound_gradients",
    "wrap_function",
    "write_tensors",
]
