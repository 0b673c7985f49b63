"""The image files of a folder, and what else lies there: counted by kind, so that it can be said."""

import os
import pathlib
from collections import Counter

from cae_jax.data.dicom import has_dicom_magic
from cae_jax.data.image_files import SUFFIXES, ImageError
from cae_jax.data.listing import ListingError

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


def describe(left_out: Counter[str]) -> str:
    """What was left out as a part of a sentence: '3 .txt, 2 hidden'."""
    return ", ".join(f"{count} {kind}" for kind, count in left_out.most_common())
