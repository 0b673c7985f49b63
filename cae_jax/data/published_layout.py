"""Data sets in the layout of the published code: `trainA_img/`, `trainB_img/`, `testA_img/`, ..., and label files."""

import pathlib
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from cae_jax.data.folder_files import check_links, image_files
from cae_jax.data.listing import Listing, ListingError, check_each_once, class_numbers, class_order, whole_number
from cae_jax.data.split_names import split_of

LABELS = "_img-name_label.txt"


def is_published_layout(root: pathlib.Path) -> bool:
    """Whether a folder looks like one of the published code."""
    return any(root.glob(f"*{LABELS}")) or (root / "trainA_img").is_dir()


def _read_labels(path: pathlib.Path) -> dict[str, int]:
    """Labels by file name, of lines `name label`."""
    names, labels = [], []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ListingError(f"{path} cannot be read as text: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, label = line.strip().replace("\t", " ").rpartition(" ")
        whole = whole_number(label)
        if whole is None:
            raise ListingError(f"{path}, line {number}: {label!r} is no whole number")
        if not name.strip():
            raise ListingError(f"{path}, line {number}: expected 'name label', not {line.strip()!r}")
        names.append(name.strip())
        labels.append(int(whole))
    check_each_once(names, str(path))
    return dict(zip(names, labels, strict=True))


def _split_and_folders(label_file: pathlib.Path) -> tuple[str, list[pathlib.Path]]:
    """The split that a label file is of, and its folders: of `trainAB_...txt`, `trainA_img` and `trainB_img`."""
    prefix = label_file.name.removesuffix(LABELS)
    name = prefix.rstrip(string.ascii_uppercase)
    split = split_of(name)
    if split not in ("train", "validation", "test"):
        raise ListingError(f"{label_file} belongs to no split; its name should begin with train, val or test")
    letters = prefix.removeprefix(name)
    folders = [label_file.with_name(f"{name}{letter}_img") for letter in letters]
    if absent := [folder for folder in folders if not folder.is_dir()]:
        raise ListingError(f"{label_file} is of a folder {absent[0].name}, which is not beside it")
    folders = folders or sorted(label_file.parent.glob(f"{name}*_img"))
    if not folders:
        raise ListingError(f"{label_file} has no folder {name}A_img beside it")
    return split, folders


def list_published_layout(root: pathlib.Path, order: Sequence[str] = ()) -> Listing:
    """Lists a data set of the published layout.

    A label file is of the folders that the letters in its name say, `trainAB_img-name_label.txt` of `trainA_img/` and
    `trainB_img/`, or without letters of all of its split. It has a line `name label` for every image; labels count from
    0, the normal class. Splits of validation and testing may be lacking.

    Args:
        root: folder of the data set.
        order: names of the classes in the order wanted; empty for that of their numbers.

    Raises:
        ListingError: naming what is missing: a folder, a label file, the file of a label or the label of a file.
    """
    files, labels, splits, places = [], [], [], []
    covered: set[pathlib.Path] = set()
    left_out: Counter[str] = Counter()
    for label_file in sorted(root.glob(f"*{LABELS}")):
        by_name = _read_labels(label_file)
        split, folders = _split_and_folders(label_file)
        found = [file for folder in folders for file in image_files(folder, left_out)]
        check_links(found, root)
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
    if "train" not in splits:
        raise ListingError(f"{root} needs images and labels of train, but has {sorted(set(splits))}")
    names = class_order(class_numbers(labels, places), order, root)
    numbers = np.asarray([names.index(str(label)) for label in range(len(names))], np.int32)[labels]
    return Listing(root, tuple(files), numbers, names, np.asarray(splits), left_out=left_out)
