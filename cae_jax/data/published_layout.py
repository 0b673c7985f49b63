"""Data sets in the layout of the published code: `trainA_img/`, `trainB_img/`, `testA_img/`, ..., and label files."""

import pathlib
import string

import numpy as np

from cae_jax.data.listing import SPLIT_NAMES, Listing, ListingError, check_each_once, class_numbers, image_files

LABELS = "_img-name_label.txt"


def is_published_layout(root: pathlib.Path) -> bool:
    """Whether a folder looks like one of the published code."""
    return any(root.glob(f"*{LABELS}")) or (root / "trainA_img").is_dir()


def _read_labels(path: pathlib.Path) -> dict[str, int]:
    """Labels by file name, of lines `name label`."""
    names, labels = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        try:
            labels.append(int(label))
        except ValueError as error:
            raise ListingError(f"{path}, line {number}: {label!r} is no whole number") from error
        if not name.strip():
            raise ListingError(f"{path}, line {number}: expected 'name label', not {line.strip()!r}")
        names.append(name.strip())
    check_each_once(names, str(path))
    return dict(zip(names, labels, strict=True))


def _split_and_folders(label_file: pathlib.Path) -> tuple[str, list[pathlib.Path]]:
    """The split that a label file is of, and its folders: of `trainAB_...txt`, `trainA_img` and `trainB_img`."""
    prefix = label_file.name.removesuffix(LABELS)
    name = prefix.rstrip(string.ascii_uppercase)
    if name not in SPLIT_NAMES:
        raise ListingError(f"{label_file} belongs to no split; its name should begin with train, val or test")
    letters = prefix.removeprefix(name)
    folders = [label_file.with_name(f"{name}{letter}_img") for letter in letters]
    if absent := [folder for folder in folders if not folder.is_dir()]:
        raise ListingError(f"{label_file} is of a folder {absent[0].name}, which is not beside it")
    folders = folders or sorted(label_file.parent.glob(f"{name}*_img"))
    if not folders:
        raise ListingError(f"{label_file} has no folder {name}A_img beside it")
    return SPLIT_NAMES[name], folders


def list_published_layout(root: pathlib.Path) -> Listing:
    """Lists a data set of the published layout.

    A label file is of the folders that the letters in its name say, `trainAB_img-name_label.txt` of `trainA_img/` and
    `trainB_img/`, or without letters of all of its split. It has a line `name label` for every image; labels count from
    0, the normal class.

    Raises:
        ListingError: naming what is missing: a folder, a label file, the file of a label or the label of a file.
    """
    files, labels, splits, places = [], [], [], []
    covered: set[pathlib.Path] = set()
    for label_file in sorted(root.glob(f"*{LABELS}")):
        by_name = _read_labels(label_file)
        split, folders = _split_and_folders(label_file)
        found = [file for folder in folders for file in image_files(folder, root)]
        check_each_once([file.name for file in found], f"{label_file} covers folders that")
        if unlabelled := [file for file in found if file.name not in by_name]:
            raise ListingError(f"{unlabelled[0]} has no line in {label_file.name} ({len(unlabelled)} such files)")
        if absent := sorted(by_name.keys() - {file.name for file in found}):
            raise ListingError(
                f"{label_file} has a line for {absent[0]}, which is not in "
                f"{' or '.join(folder.name for folder in folders)} ({len(absent)} such lines)"
            )
        covered |= set(folders)
        files += found
        labels += [by_name[file.name] for file in found]
        splits += [split] * len(found)
        places += [f"{label_file}, {file.name}" for file in found]
    if left := sorted(set(root.glob("*_img")) - covered):
        raise ListingError(f"{left[0]} has no label file {left[0].name}-name_label.txt")
    if not {"train", "test"} <= set(splits):
        raise ListingError(f"{root} needs images and labels of both train and test, but has {sorted(set(splits))}")
    names = class_numbers(labels, places)
    return Listing(tuple(files), np.asarray(labels, np.int32), names, np.asarray(splits))
