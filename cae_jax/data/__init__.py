"""Data sets by name, as image sources, and batches of pairs drawn from them. No networks, nothing of JAX's devices."""

from cae_jax.data.augment import Augment, make_augment
from cae_jax.data.dataset import Dataset
from cae_jax.data.folders import image_files, images_below, kinds_in_words
from cae_jax.data.image_files import SUFFIXES, Format, ImageError, place_of, read_pixels, resize
from cae_jax.data.kept_listing import LISTING, DataChanged, Keeping, listing_bytes
from cae_jax.data.open_listing import FileSettings
from cae_jax.data.opening import DataUnavailable, in_order, open_dataset
from cae_jax.data.pairs import PairSampler, pair_batches
from cae_jax.data.phantom_builder import Truth, true_answers
from cae_jax.data.sources import ArraySource, FileSource, RecordSource, Selection, Skipped, image_names
from cae_jax.data.splits import SPLITS, stratified_split
from cae_jax.data.table import Columns

__all__ = [
    "LISTING",
    "SPLITS",
    "SUFFIXES",
    "ArraySource",
    "Augment",
    "Columns",
    "DataChanged",
    "DataUnavailable",
    "Dataset",
    "FileSettings",
    "FileSource",
    "Format",
    "ImageError",
    "Keeping",
    "PairSampler",
    "RecordSource",
    "Selection",
    "Skipped",
    "Truth",
    "image_files",
    "image_names",
    "images_below",
    "in_order",
    "kinds_in_words",
    "listing_bytes",
    "make_augment",
    "open_dataset",
    "pair_batches",
    "place_of",
    "read_pixels",
    "resize",
    "stratified_split",
    "true_answers",
]
