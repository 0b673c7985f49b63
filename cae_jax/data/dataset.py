"""The record of an opened data set, and how one is split."""

import logging
from dataclasses import dataclass

import numpy as np

from cae_jax.data.file_source import Skipped
from cae_jax.data.image_files import ImageError
from cae_jax.data.listing import Listing
from cae_jax.types import ImageSource

log = logging.getLogger(__name__)
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Dataset:
    """An opened data set.

    Attributes:
        name: name that was asked for, or the fallback's.
        class_names: names of the K classes, in the order of the labels.
        train: images that models learn from.
        validation: images that settings and checkpoints are chosen on.
        test: images that results are reported on, and nothing else is.
        note: reason why this is not the data set that was asked for; empty when it is.
        skipped: files that were left out, and why.
        listing: the files, with their splits, as a run keeps them; None where the data set has none.
        fingerprint: digest of names, labels, splits and contents, and of how images are read.
    """

    name: str
    class_names: tuple[str, ...]
    train: ImageSource
    validation: ImageSource
    test: ImageSource
    note: str = ""
    skipped: tuple[Skipped, ...] = ()
    listing: Listing | None = None
    fingerprint: str = ""

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        for row in range(len(self.train)):
            try:
                height, width, channels = self.train.take(np.asarray([row])).shape[1:]
            except ImageError as error:  # of a file that is gone since its run began
                log.info("%s: %s", self.name, error)
            else:
                return height, width, channels
        raise ImageError(f"no training image of {self.name} can be read")

    def split(self, name: str) -> ImageSource:
        """The split called 'train', 'validation' or 'test'.

        Raises:
            ValueError: for another name.
        """
        if name not in SPLITS:
            raise ValueError(f"a split is 'train', 'validation' or 'test', not {name!r}")
        return getattr(self, name)


def stratified_split(labels: np.ndarray, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sets `size` rows aside so that both parts keep the proportions of the classes.

    Args:
        labels: classes `[N]`.
        size: number of rows of the second part.
        seed: seed of the draw.

    Returns:
        Sorted row numbers of the rest, and of the part set aside.
    """
    from sklearn.model_selection import train_test_split  # slow to import, and only a split needs it

    rest, aside = train_test_split(np.arange(len(labels)), test_size=size, stratify=labels, random_state=seed)
    return np.sort(rest), np.sort(aside)
