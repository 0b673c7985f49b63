"""Data sets listed in a CSV file: a line for each image, with its path and its class."""

import csv
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cae_jax.data.listing import Listing, ListingError, class_numbers, class_order, natural, whole_number
from cae_jax.data.splits import splits_of


class Columns(NamedTuple):
    """The names of a table's columns.

    Attributes:
        path: column of the image's path, absolute or from the table's folder.
        label: column of the class, a whole number from 0 or a name.
        split: column of the split, 'train', 'validation' or 'test'; '' where splits are to be drawn.
        group: column of whom (or what) an image is of, such as the patient; '' for none.
    """

    path: str = "path"
    label: str = "label"
    split: str = ""
    group: str = ""


STANDARD = Columns()
SEPARATORS = ",;\t|"


class _Line(NamedTuple):
    """A line's number and its cells by column, without spaces around them."""

    number: int
    cells: dict[str, str]


def _header(path: pathlib.Path, text: str, columns: Columns) -> tuple[str, list[str]]:
    """What separates the cells, and the first line's: the separator that brings forth the columns that are read."""
    wanted = {name for name in columns if name}
    found = {
        separator: [cell.strip() for cell in next(csv.reader([text], delimiter=separator), [])]
        for separator in SEPARATORS
    }
    separator = max(SEPARATORS, key=lambda separator: len(wanted & set(found[separator])))
    present = found[separator]
    if absent := [name for name in columns if name and name not in present]:
        raise ListingError(
            f"{path} has no column {', '.join(absent)}; it has {', '.join(filter(None, present)) or 'none'}. "
            f"data.table says which columns are read"
        )
    if twice := [name for name in sorted(wanted) if present.count(name) > 1]:
        raise ListingError(f"{path} has more than one column {', '.join(twice)}; call one of them otherwise")
    return separator, present


def _read(path: pathlib.Path, columns: Columns) -> list[_Line]:
    lines = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            separator, present = _header(path, file.readline().rstrip("\r\n"), columns)
            reader = csv.reader(file, delimiter=separator)
            for cells in reader:
                number, cells = reader.line_num + 1, [cell.strip() for cell in cells]
                if not any(cells):
                    continue
                if any(cells[len(present) :]):
                    raise ListingError(
                        f"{path}, line {number}: {len(cells)} cells, but the first line has {len(present)}; a text "
                        f"with {separator!r} in it stands in quotes"
                    )
                line = dict(zip(present, cells, strict=False))
                if empty := [name for name in columns if name and not line.get(name)]:
                    raise ListingError(f"{path}, line {number}: {', '.join(empty)} is empty")
                lines.append(_Line(number, line))
    except UnicodeDecodeError as error:
        raise ListingError(f"{path} cannot be read as CSV: {error}; save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise ListingError(f"{path} cannot be read as CSV: {error}") from error
    if not lines:
        raise ListingError(f"{path} has no lines but its first")
    return lines


def _classes(
    path: pathlib.Path, lines: list[_Line], column: str, order: Sequence[str]
) -> tuple[list[int], tuple[str, ...]]:
    """Labels and class names: whole numbers, which may end in `.0`, are taken as they are, names in natural order."""
    texts = [line.cells[column] for line in lines]
    numbers = [whole_number(text) for text in texts]
    known = [number for number in numbers if number is not None]
    if 0 < len(known) < len(texts):
        one, other = (
            next(n for n, text in enumerate(numbers) if (text is None) == is_name) for is_name in (False, True)
        )
        first, second = sorted((lines[one].number, lines[other].number))
        raise ListingError(
            f"{path} has numbers and names as labels: compare lines {first} and {second} "
            f"({texts[one]!r} and {texts[other]!r})"
        )
    if known and not order and set(map(int, known)) != set(range(1, len(set(known)) + 1)):
        labels = [int(number) for number in known]
        try:
            return labels, class_numbers(labels, (f"{path}, line {line.number}" for line in lines))
        except ListingError as error:
            if min(labels) < 0:
                raise
            there = ",".join(sorted(set(known), key=natural))
            raise ListingError(f"{path}: {error}; --config.data.classes={there} takes them as they are") from error
    names = class_order(known or texts, order, path)
    number_of = {name: number for number, name in enumerate(names)}
    return [number_of[text] for text in known or texts], names


def _files(path: pathlib.Path, lines: list[_Line], columns: Columns) -> list[pathlib.Path]:
    """The lines' files, each once; paths of Windows are understood."""
    files, first_line = [], {}
    for number, cells in lines:
        name = cells[columns.path]
        file = path.parent / name
        if not file.exists() and "\\" in name:
            file = path.parent / name.replace("\\", "/")
        if file.is_dir():
            raise ListingError(f"{path}, line {number}: {file} is a folder, not an image")
        if not file.is_file():
            raise ListingError(f"{path}, line {number}: {file} does not exist")
        before = first_line.setdefault(os.path.normpath(file), (number, cells[columns.label]))
        if before[0] != number:
            labels = "" if before[1] == cells[columns.label] else f", as {before[1]!r} and {cells[columns.label]!r}"
            raise ListingError(
                f"{path} names these images more than once: {name} in lines {before[0]} and {number}{labels}"
            )
        files.append(file)
    return files


def list_table(path: pathlib.Path, columns: Columns, order: Sequence[str] = ()) -> Listing:
    """Lists the images of a CSV file, whose cells commas, semicolons, tabs or bars separate; in their names' order.

    Args:
        path: path of the file, UTF-8.
        columns: names of the columns that are read.
        order: names of the classes in the order wanted; empty for that of their numbers, or the natural order of
            their names.

    Raises:
        ListingError: naming the line and what is wrong with it.
    """
    lines = _read(path, columns)
    files = _files(path, lines, columns)
    labels, class_names = _classes(path, lines, columns.label, order)
    splits = [""] * len(lines)
    if columns.split:
        meant = splits_of({line.cells[columns.split].lower() for line in lines})
        for row, line in enumerate(lines):
            name = line.cells[columns.split].lower()
            if name not in meant:
                raise ListingError(f"{path}, line {line.number}: a split is train, validation or test, not {name!r}")
            splits[row] = meant[name]
        if "train" not in splits:
            raise ListingError(f"{path} has no line of the split train")
    groups = np.asarray([line.cells[columns.group] for line in lines]) if columns.group else None
    listing = Listing(path.parent, tuple(files), np.asarray(labels, np.int32), class_names, np.asarray(splits), groups)
    names = listing.names()
    rows = sorted(range(len(names)), key=names.__getitem__)  # the order of the lines says nothing: they may move
    return listing.keep(np.asarray(rows))
