"""Data sets by name, as image sources, and batches of pairs drawn from them. No networks, nothing of JAX's devices."""

from cae_jax.data.augment import Augment, make_augment
from cae_jax.data.dataset import Dataset, stratified_split
from cae_jax.data.opening import DataUnavailable, open_dataset
from cae_jax.data.pairs import PairSampler, pair_batches
from cae_jax.data.phantom_builder import Truth, true_answers
from cae_jax.data.sources import ArraySource, RecordSource

__all__ = [
    "ArraySource",
    "Augment",
    "DataUnavailable",
    "Dataset",
    "PairSampler",
    "RecordSource",
    "Truth",
    "make_augment",
    "open_dataset",
    "pair_batches",
    "stratified_split",
    "true_answers",
]
