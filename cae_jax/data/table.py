"""Data sets listed in a CSV file: a line for each image, with its path and its class."""

import csv
import pathlib
from typing import NamedTuple

import numpy as np

from cae_jax.data.listing import SPLIT_NAMES, Listing, ListingError, check_each_once, class_numbers


class Columns(NamedTuple):
    """The names of a table's columns.

    Attributes:
        path: of the image, absolute or from the table's folder.
        label: a whole number from 0, or a name.
        split: 'train', 'validation' or 'test'; '' where splits are to be drawn.
        group: whom (or what) an image is of, such as the patient; '' for none.
    """

    path: str = "path"
    label: str = "label"
    split: str = ""
    group: str = ""


STANDARD = Columns()


def _read(path: pathlib.Path, columns: Columns) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            present = reader.fieldnames or []
            if absent := [name for name in columns if name and name not in present]:
                raise ListingError(
                    f"{path} has no column {', '.join(absent)}; it has {', '.join(present) or 'none'}. "
                    f"data.table says which columns are read"
                )
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ListingError(f"{path} cannot be read as CSV: {error}") from error
    for number, line in enumerate(lines, 2):
        if empty := [name for name in columns if name and not (line[name] or "").strip()]:
            raise ListingError(f"{path}, line {number}: {', '.join(empty)} is empty")
    if not lines:
        raise ListingError(f"{path} has no lines but its first")
    return lines


def _classes(path: pathlib.Path, texts: list[str]) -> tuple[list[int], tuple[str, ...]]:
    """Labels and class names: whole numbers are taken as they are, names in their order."""
    numbers = [text.lstrip("-").isdecimal() for text in texts]
    if all(numbers):
        labels = [int(text) for text in texts]
        return labels, class_numbers(labels, (f"{path}, line {line}" for line in range(2, len(texts) + 2)))
    if any(numbers):
        first, other = sorted((numbers.index(True) + 2, numbers.index(False) + 2))
        raise ListingError(f"{path} has numbers and names as labels: compare lines {first} and {other}")
    names = sorted(set(texts))
    number_of = {name: number for number, name in enumerate(names)}
    return [number_of[text] for text in texts], tuple(names)


def list_table(path: pathlib.Path, columns: Columns) -> Listing:
    """Lists the images of a CSV file.

    Raises:
        ListingError: naming the line and what is wrong with it.
    """
    lines = _read(path, columns)
    names = [line[columns.path].strip() for line in lines]
    check_each_once(names, str(path))
    files = tuple(path.parent / name for name in names)
    for number, file in enumerate(files, 2):
        if not file.is_file():
            raise ListingError(f"{path}, line {number}: {file} does not exist")
    labels, class_names = _classes(path, [line[columns.label].strip() for line in lines])
    splits = [""] * len(lines)
    if columns.split:
        for number, line in enumerate(lines):
            name = line[columns.split].strip().lower()
            if name not in SPLIT_NAMES:
                raise ListingError(f"{path}, line {number + 2}: a split is train, validation or test, not {name!r}")
            splits[number] = SPLIT_NAMES[name]
        if not {"train", "test"} <= set(splits):
            raise ListingError(f"{path} has no line of the split {' or '.join({'train', 'test'} - set(splits))}")
    groups = np.asarray([line[columns.group].strip() for line in lines]) if columns.group else None
    return Listing(files, np.asarray(labels, np.int32), class_names, np.asarray(splits), groups)
