"""Data sets by name, as image sources, and batches of pairs drawn from them. No networks, nothing of JAX's devices."""

from cae_jax.data.augment import Augment, make_augment
from cae_jax.data.dataset import SPLITS, Dataset, stratified_split
from cae_jax.data.file_source import FileSource, Skipped
from cae_jax.data.image_files import SUFFIXES, Format, ImageError, read_pixels, resize
from cae_jax.data.listed import FileSettings
from cae_jax.data.opening import DataUnavailable, open_dataset
from cae_jax.data.pairs import PairSampler, pair_batches
from cae_jax.data.phantom_builder import Truth, true_answers
from cae_jax.data.sources import ArraySource, RecordSource, Selection, image_name
from cae_jax.data.table import Columns

__all__ = [
    "SPLITS",
    "SUFFIXES",
    "ArraySource",
    "Augment",
    "Columns",
    "DataUnavailable",
    "Dataset",
    "FileSettings",
    "FileSource",
    "Format",
    "ImageError",
    "PairSampler",
    "RecordSource",
    "Selection",
    "Skipped",
    "Truth",
    "image_name",
    "make_augment",
    "open_dataset",
    "pair_batches",
    "read_pixels",
    "resize",
    "stratified_split",
    "true_answers",
]
