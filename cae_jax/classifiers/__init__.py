"""Image classifiers: the small ones that we train ourselves, and how they are fitted. No files, no named data."""

from cae_jax.classifiers.fitting import fit_classifier
from cae_jax.classifiers.networks import ResidualClassifier, SmallCNN, make_classifier, make_logits, make_predict
from cae_jax.classifiers.taps import last_convolution, make_tap

__all__ = [
    "ResidualClassifier",
    "SmallCNN",
    "fit_classifier",
    "last_convolution",
    "make_classifier",
    "make_logits",
    "make_predict",
    "make_tap",
]
