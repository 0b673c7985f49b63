"""Folders of images: their files, a folder for each class, and the layout of the published code.

What else lies in a folder is counted by kind, so that it can be said. Above folders for the classes there may be
folders for the splits. The published layout is `trainA_img/`, `trainB_img/`, `testA_img/`, ..., and label files.
"""

import os
import pathlib
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from cae_jax.data.dicom import has_dicom_magic
from cae_jax.data.image_files import SUFFIXES, ImageError
from cae_jax.data.listing import Listing, ListingError, check_each_once, class_numbers, class_order, whole_number
from cae_jax.data.splits import SPLITS, split_of, splits_of

LABELS = "_img-name_label.txt"
JUNK = {"thumbs.db", "desktop.ini", "dicomdir", "__macosx", "@eadir", "lost+found"}  # of systems and archives


def is_hidden(name: str) -> bool:
    """Whether a file or folder is there for a system, not for people."""
    return name.startswith(".") or name.lower() in JUNK


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as images' do."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def is_image(path: pathlib.Path) -> bool:
    """Whether a file is an image by its name, or begins like DICOM, which often has no suffix.

    Raises:
        ImageError: naming a file that cannot be read.
    """
    if is_image_name(path.name):
        return True
    try:
        return has_dicom_magic(path)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error}") from error


def folders_in(parent: pathlib.Path) -> list[pathlib.Path]:
    """The folders in a folder by name, without hidden ones and those of systems and archives."""
    return sorted(entry for entry in parent.iterdir() if entry.is_dir() and not is_hidden(entry.name))


def kind_of(name: str) -> str:
    """What a file that is no image is counted as: its suffix."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if 1 < len(suffix) <= 8 else "without a known suffix"


def images_below(folder: pathlib.Path) -> int:
    """How many images there are in the folders of a folder, by their names."""
    return sum(
        is_image_name(name) and not is_hidden(name)
        for below in folders_in(folder)
        for _, _, names in os.walk(below)
        for name in names
    )


def check_links(files: list[pathlib.Path], root: pathlib.Path) -> None:
    """Checks that no file is a link that leads out of a folder.

    Raises:
        ListingError: naming the link.
    """
    for path in files:
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            raise ListingError(f"{path} is a link to {path.resolve()}, out of {root}; copy the file or name its folder")


def image_files(folder: pathlib.Path, left_out: Counter[str]) -> list[pathlib.Path]:
    """The image files of a folder by name, without hidden ones and those of its folders.

    Args:
        folder: folder to look into.
        left_out: counter that is told what other files are there, by kind.

    Raises:
        ImageError: naming a file without a known suffix that cannot be read.
    """
    found = []
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = folder / entry.name
        if is_hidden(entry.name):
            if is_image_name(entry.name) and not entry.name.startswith("._"):  # the latter are archives' companions
                left_out["hidden"] += 1
        elif entry.is_dir():
            continue
        elif is_image(path):
            found.append(path)
        else:
            left_out[kind_of(entry.name)] += 1
    return found


def kinds_in_words(left_out: Counter[str]) -> str:
    """What was left out as a part of a sentence: '3 .txt, 2 hidden'."""
    return ", ".join(f"{count} {kind}" for kind, count in left_out.most_common())


def _split_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders of splits by split; none where the folders in `root` are those of classes."""
    meant = splits_of(folder.name for folder in folders_in(root))
    by_split: dict[str, pathlib.Path] = {}
    for name, split in meant.items():
        if split in by_split:
            raise ListingError(f"{by_split[split]} and {name} both mean the {split} split; rename one")
        by_split[split] = root / name
    if meant and "train" not in meant.values():
        raise ListingError(f"{root} has a folder {next(iter(meant))}, but none of training images ('train')")
    return by_split


def _classes(parents: dict[str, pathlib.Path], order: Sequence[str], root: pathlib.Path) -> tuple[str, ...]:
    """The class names, which must be those of every split."""
    first, *others = (parents[split] for split in sorted(parents, key=lambda split: split != "train"))
    names = [folder.name for folder in folders_in(first)]
    if len(names) < 2:
        inner = f"; did you mean {first / names[0]}?" if names and len(folders_in(first / names[0])) > 1 else ""
        raise ListingError(
            f"{first} needs a folder of images for each class, two or more, but has {', '.join(names) or 'no folder'}"
            f"{inner}"
        )
    for parent in others:
        own = {folder.name for folder in folders_in(parent)}
        if not own:
            raise ListingError(
                f"{parent} has no class folders, so its images' classes are not known; give it those of {first}, or "
                f"move it out of {root}, and a split is drawn instead"
            )
        for here, there, missing in ((parent, first, set(names) - own), (first, parent, own - set(names))):
            if missing:
                raise ListingError(f"{here} has no folder {min(missing)}, which {there} has ({len(missing)} such)")
    return class_order(names, order, root)


def list_class_folders(root: pathlib.Path, order: Sequence[str] = ()) -> Listing:
    """Lists `root/CLASS/*` (then the splits are still to be drawn) or `root/train/CLASS/*`, `root/test/CLASS/*`.

    The names of the class folders are the classes. Splits are known by their usual names, such as `Training`, `val`,
    `dev` or `test_set`; those of validation and testing may be lacking.

    Args:
        root: folder of the data set.
        order: names of the classes in the order wanted; empty for the natural order of their names.

    Raises:
        ListingError: naming the folder that is missing or has no images.
    """
    by_split = _split_folders(root)
    parents = by_split or {"": root}
    names = _classes(parents, order, root)
    left_out: Counter[str] = Counter()
    files, labels, splits = [], [], []
    for split, parent in parents.items():
        loose = image_files(parent, Counter())
        if loose:
            left_out[f"beside the class folders of {parent.name}"] += len(loose)
        for label, name in enumerate(names):
            folder = parent / name
            found, below = image_files(folder, left_out), images_below(folder)
            if not found and below:
                raise ListingError(
                    f"{folder} has no images, but its folders {', '.join(f.name for f in folders_in(folder)[:3])} "
                    f"have {below}; move them up into it, or list all images in a .csv"
                )
            if not found:
                raise ListingError(f"{folder} has no images")
            if below:
                left_out[f"in the folders of {folder.relative_to(root).as_posix()}"] += below
            check_links(found, root)
            files += found
            labels += [label] * len(found)
            splits += [split] * len(found)
    for folder in folders_in(root) if by_split else []:
        if folder not in by_split.values():
            others = len(image_files(folder, Counter())) + images_below(folder)
            left_out[f"in the folder {folder.name}, which is no split"] += others
    return Listing(root, tuple(files), np.asarray(labels, np.int32), names, np.asarray(splits), left_out=+left_out)


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
    if split not in SPLITS:
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
