"""Image classifiers: the small ones that we train ourselves, and how they are fitted. No files, no named data."""

from cae_jax.classifiers.fitting import fit_classifier
from cae_jax.classifiers.networks import ResidualClassifier, SmallCNN, make_classifier, make_predict

__all__ = ["ResidualClassifier", "SmallCNN", "fit_classifier", "make_classifier", "make_predict"]
