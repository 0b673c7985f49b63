"""Data sets whose images lie in a folder for each class, with or without folders for the splits above them."""

import pathlib

import numpy as np

from cae_jax.data.listing import SPLIT_NAMES, Listing, ListingError, image_files


def _folders(parent: pathlib.Path) -> list[pathlib.Path]:
    return sorted(entry for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def list_class_folders(root: pathlib.Path) -> Listing:
    """Lists `root/CLASS/*` (then the splits are still to be drawn) or `root/train/CLASS/*`, `root/test/CLASS/*`.

    The names of the class folders, sorted, are the classes. A folder `val`, `valid` or `validation` is the validation
    split.

    Raises:
        ListingError: naming the folder that is missing or has no images.
    """
    folders = _folders(root)
    by_split = {SPLIT_NAMES[folder.name.lower()]: folder for folder in folders if folder.name.lower() in SPLIT_NAMES}
    if by_split and not {"train", "test"} <= by_split.keys():
        raise ListingError(f"{root} has a folder {next(iter(by_split.values())).name}; 'train' and 'test' are needed")
    parents = by_split or {"": root}
    classes = {split: {folder.name: folder for folder in _folders(parent)} for split, parent in parents.items()}
    names = sorted(classes["train" if by_split else ""])
    if len(names) < 2:
        raise ListingError(
            f"{parents['train' if by_split else '']} needs a folder of images for each class, two or more, but has "
            f"{', '.join(names) or 'no folder'}"
        )
    files, labels, splits = [], [], []
    for split, own in classes.items():
        if unlike := sorted(own.keys() ^ set(names)):
            raise ListingError(f"the splits of {root} differ in their class folders: {', '.join(unlike)}")
        for label, name in enumerate(names):
            found = image_files(own[name], root)
            if not found:
                raise ListingError(f"{own[name]} has no images")
            files += found
            labels += [label] * len(found)
            splits += [split] * len(found)
    return Listing(tuple(files), np.asarray(labels, np.int32), tuple(names), np.asarray(splits))
