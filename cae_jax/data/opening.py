"""Opens data sets by name: our own builders, stock TFDS names, anything prepared as ArrayRecord."""

import dataclasses
import functools
import hashlib
import logging
import pathlib
import re
from collections.abc import Callable
from typing import Any

import filelock
import numpy as np
import requests
import tensorflow_datasets as tfds

from cae_jax.data.dataset import Dataset, fingerprint, warn_of_leaks
from cae_jax.data.folders import is_published_layout, list_class_folders, list_published_layout
from cae_jax.data.listing import class_order
from cae_jax.data.mnist import FILES, FashionMnist, Mnist, Mnist5k
from cae_jax.data.npz import open_npz
from cae_jax.data.open_listing import PLAIN, FileSettings, open_listing, warn_of_blanks
from cae_jax.data.phantom_builder import Phantom, read_variant
from cae_jax.data.prepared import read_prepared, refuse_foreign_features
from cae_jax.data.sources import ArraySource
from cae_jax.data.splits import SPLITS
from cae_jax.data.table import list_table
from cae_jax.errors import UserError
from cae_jax.types import ImageSource

OWN_BUILDERS = {builder.name: builder for builder in (Mnist, FashionMnist, Mnist5k)}
log = logging.getLogger(__name__)


class DataUnavailable(UserError, RuntimeError):
    """A data set can be neither read nor fetched; the message says why and what to do."""


def _or_unavailable(function: Callable[[Any], Any], argument: Any) -> Any:
    try:
        return function(argument)
    except ValueError as error:
        raise DataUnavailable(str(error)) from error


def _check_reachable(builder: tfds.core.DatasetBuilder) -> None:
    """Asks the origin once before TFDS's downloader, which would retry for minutes on a machine without a network."""
    if not isinstance(builder, (Mnist, FashionMnist)) or builder.files_present():
        return
    try:
        requests.head(builder.ORIGIN + FILES["test_labels"], timeout=10).raise_for_status()
    except requests.RequestException as error:
        raise DataUnavailable(
            f"{builder.name} cannot be downloaded ({type(error).__name__}). Put {', '.join(FILES.values())} "
            f"into {builder.manual_folder} and start again, or choose another data.name."
        ) from error


def _prepared(
    make: Callable[[], tfds.core.DatasetBuilder],
    folder: pathlib.Path,
    prepare: Callable[[tfds.core.DatasetBuilder], object],
) -> tfds.core.DatasetBuilder:
    """A builder whose data set is there; of programs that start together, one prepares it and the others wait."""
    is_there = lambda builder: (pathlib.Path(builder.data_dir) / "dataset_info.json").exists()  # noqa: E731
    builder = make()
    if is_there(builder):
        return builder
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / ".lock"):
        builder = make()  # which reads what there is
        if not is_there(builder):
            prepare(builder)
    return builder


def _own(name: str, folder: pathlib.Path) -> tfds.core.DatasetBuilder:
    if name.startswith("phantom/"):
        variant = _or_unavailable(read_variant, name.removeprefix("phantom/"))
        make = functools.partial(Phantom, config=variant, data_dir=folder, file_format="array_record")
    else:
        make = functools.partial(OWN_BUILDERS[name], data_dir=folder, file_format="array_record")

    def prepare(builder: tfds.core.DatasetBuilder) -> None:
        _check_reachable(builder)
        log.info("preparing %s in %s", name, builder.data_dir)
        tfds.disable_progress_bar()
        builder.download_and_prepare()

    return _prepared(make, folder, prepare)


def _stock(name: str, folder: pathlib.Path) -> tfds.core.DatasetBuilder:
    _or_unavailable(refuse_foreign_features, folder / re.split("[/:]", name)[0])

    def prepare(builder: tfds.core.DatasetBuilder) -> None:
        try:
            builder.download_and_prepare(file_format="array_record")
        except Exception as error:
            raise DataUnavailable(
                f"{name} is not prepared in {folder} and cannot be prepared here ({type(error).__name__}: {error}). "
                f"Preparing a stock data set needs TensorFlow and a network; prepared elsewhere with "
                f"file_format='array_record', the folder can be copied."
            ) from error

    try:
        return _prepared(functools.partial(tfds.builder, name, data_dir=folder), folder, prepare)
    except tfds.core.registered.DatasetNotFoundError as error:
        raise DataUnavailable(
            f"no data set is called {name!r}: neither ours ({', '.join(OWN_BUILDERS)}, phantom/...), nor of TensorFlow "
            f"Datasets, nor prepared in {folder}"
        ) from error


def in_order(dataset: Dataset, order: tuple[str, ...]) -> Dataset:
    """A data set with its classes numbered in another order.

    Args:
        dataset: data set as it was opened; its labels are changed.
        order: all class names in the order wanted; empty for the data set's own.

    Raises:
        ValueError: with the names that only one of the two has.
    """
    names = class_order(dataset.class_names, order, dataset.name) if order else dataset.class_names
    if names == dataset.class_names:
        return dataset
    number = np.asarray([names.index(name) for name in dataset.class_names], np.int32)
    for split in SPLITS:
        source = dataset.split(split)
        source.labels = number[source.labels]
    digest = fingerprint([dataset.fingerprint, *names])
    return dataclasses.replace(dataset, class_names=names, fingerprint=digest)


def _held_images(split: str, source: ImageSource) -> list[tuple[str, bytes]]:
    """What the images of a split are called, and hashes of them; none where they are too many to be held in memory."""
    images = source.images if isinstance(source, ArraySource) else ()
    return [(f"{split} {row}", hashlib.sha256(image.tobytes()).digest()) for row, image in enumerate(images)]


def _checked(dataset: Dataset, settings: FileSettings) -> Dataset:
    present = np.unique(dataset.train.labels)
    if len(present) < 2:
        raise DataUnavailable(
            f"{dataset.name} has images of one class only ({present.tolist()}); an explanation needs two or more"
        )
    if absent := [name for label, name in enumerate(dataset.class_names) if label not in present]:
        log.warning("%s has no training image of class %s", dataset.name, ", ".join(absent[:5]))
    if not settings.keeping.strict:  # files may be gone, and their run has been told
        return dataset
    names: dict[str, list[str]] = {}
    if dataset.listing is not None:
        for name, split in zip(dataset.listing.names(), dataset.listing.splits.tolist(), strict=True):
            names.setdefault(split, []).append(name)
    sources = {split: dataset.split(split) for split in SPLITS}
    warn_of_blanks(dataset.name, sources, names)
    if dataset.listing is None:  # those of files are known by their files
        warn_of_leaks(dataset.name, "images", {split: _held_images(split, own) for split, own in sources.items()})
    return dataset


def _open_files(name: str, settings: FileSettings) -> Dataset:
    """Opens a file or folder of the user's; ValueErrors say what is wrong with it."""
    path = pathlib.Path(name).expanduser()
    if not path.exists():
        raise DataUnavailable(f"{path} does not exist (looked for it from {pathlib.Path.cwd()})")
    if path.suffix.lower() == ".npz":
        return open_npz(path, settings.format)
    if path.suffix.lower() == ".csv":
        return open_listing(name, list_table(path, settings.columns, settings.classes), settings)
    if not path.is_dir():
        raise DataUnavailable(f"{path} is neither a folder nor a file ending in .npz or .csv")
    if (path / "dataset_info.json").exists():
        refuse_foreign_features(path)
        return read_prepared(tfds.builder_from_directory(path), name, settings.format)
    layout = list_published_layout if is_published_layout(path) else list_class_folders
    return open_listing(name, layout(path, settings.classes), settings)


def _is_path(name: str) -> bool:
    return (
        name.lower().endswith((".npz", ".csv"))
        or name.startswith(("/", "./", "../", "~"))
        or pathlib.Path(name).is_dir()
    )


def open_dataset(name: str, folder: str = "", fallback: str = "", files: FileSettings = PLAIN) -> Dataset:
    """Opens a data set, preparing it first where that is needed and possible.

    Args:
        name: 'mnist', 'fashion_mnist', 'mnist_5k', 'phantom/...' (see `read_variant`), a name of TensorFlow Datasets,
            or a path: of a folder of images for each class (see `list_class_folders`), of one in the published layout
            (see `list_published_layout`), of a prepared TFDS data set, of a file ending in .npz (see `open_npz`) or in
            .csv (see `list_table`).
        folder: folder of prepared data sets; empty for TFDS's own default (`TFDS_DATA_DIR` or `~/tensorflow_datasets`).
        fallback: name of the data set that is opened instead when `name` is unavailable; its `note` then says so. Empty
            for none.
        files: how images are read, and the order of the classes.

    Returns:
        The data set; splits that fit are held in memory.

    Raises:
        DataUnavailable: if neither can be had, or the training split has images of one class only.
        DataChanged: if files are not those of the listing that a run keeps.
    """
    root = pathlib.Path(folder or tfds.core.constants.DATA_DIR).expanduser()
    try:
        if _is_path(name):
            opened = _or_unavailable(lambda path: in_order(_open_files(path, files), files.classes), name)
            return _checked(opened, files)
        builder = _own(name, root) if name in OWN_BUILDERS or name.startswith("phantom/") else _stock(name, root)
        opened = _or_unavailable(
            lambda found: in_order(read_prepared(found, name, files.format), files.classes), builder
        )
    except DataUnavailable as error:
        if not fallback or fallback == name:
            raise
        log.warning("%s", error)
        note = f"{name} is not available, so this run uses {fallback} instead"  # goes into packages: no paths of ours
        return dataclasses.replace(open_dataset(fallback, folder, files=files), note=note)
    return _checked(opened, files)
