"""Draws rows of pictures on pages of A4, many to a page, as PNG files and as one PDF whose text can be searched."""

import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cae_jax.report.legend import CAUTION, ENDINGS, MAPS
from cae_jax.report.pictures import WIDE, wrapped
from cae_jax.report.strips import answer_name, class_name, explanation_tiles, resize_tiles
from cae_jax.types import Ending, Explanation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT, MARGIN, GAP = 595, 842, 36, 6  # points, 1/72 inch
FIRST, HEADING, TITLE, CAPTION = 12, 7, 7, 6  # sizes of letters in points
LINE = 1.25  # height of a line, in sizes of its letters
FOUR, TALLEST = 4, 200  # pictures of a row that fill its width; greatest height of one, in points
TILE, DPI = 128, 150  # pixels of a picture's side, of an inch of a page


class Entry(NamedTuple):
    """A row of pictures.

    Attributes:
        title: text above them.
        tiles: up to four pictures of one size, `[height, width, 3]` uint8.
        captions: text under each.
    """

    title: str
    tiles: Sequence[np.ndarray]
    captions: Sequence[str]


def explanation_entry(
    explanation: Explanation, row: int, image: np.ndarray, class_names: Sequence[str], name: str
) -> Entry:
    """Returns exemplar, reconstruction, counterfactual and map of one row of an explanation record.

    Args:
        explanation: the record.
        row: number of the record's row.
        image: the exemplar, `[height, width, channels]` in [0, 1].
        class_names: K names of classes.
        name: name of the exemplar.
    """
    tiles = explanation_tiles(explanation, row, image)[[0, 1, -2, -1]]
    target, shift = int(explanation.target[row]), float(explanation.shift[row])
    answer = class_name(class_names, int(explanation.prediction[row]))
    aim = class_names[target] if target >= 0 else "none"
    copy = answer_name(class_names, explanation.path_probabilities[row, 0])
    end = answer_name(class_names, explanation.counterfactual_probabilities[row])
    found = np.isfinite(shift)
    return Entry(
        f"{name}: {answer} → {aim}  {Ending(int(explanation.status[row])).name}",
        list(resize_tiles(tiles, TILE)),
        [
            f"exemplar: {answer}",
            f"reconstruction: {copy}",
            f"counterfactual at {shift:.3f}: {end}" if found else f"path's end: {end}",
            "map" if found else "no map",
        ],
    )


def explanation_heads(
    endings: Mapping[Ending, int], shown: int, facts: Mapping[str, str], verdict: str, saliency: str, failures: int
) -> tuple[list[str], list[str]]:
    """Returns the paragraphs above a contact sheet's first page, and those above each other one.

    Args:
        endings: number of explanations by ending.
        shown: number of explanations on the sheet.
        facts: facts of the job, by name.
        verdict: why the model is not to be relied on; '' if nothing is known against it.
        saliency: kind of the maps, of `ExplainOptions`.
        failures: number of images that could not be explained.
    """
    count, colours = sum(endings.values()), MAPS[saliency]
    blue = f"; blue: {colours.blue}" if colours.blue else ""
    relied = [f"Not to be relied on: {verdict}"] if verdict else []
    first = [
        f"{count} explanations",
        " · ".join(f"{name} {value}" for name, value in facts.items()),
        *relied,
        *([f"{failures} images could not be explained; explanations.json says why."] if failures else []),
        *([f"The first {shown} are drawn; all {count} are in explanations.json."] if shown < count else []),
        *(f"{ending.name} {number}: {ENDINGS[ending]}" for ending, number in endings.items() if number),
        f"The map. Red: {colours.red}{blue}. {CAUTION}",
    ]
    return first, [f"{count} explanations, continued", *relied]


class _Page:
    """A page that is filled from the top, column by column."""

    def __init__(self, columns: int):
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
        self.figure.suppressComposite = True  # pictures are kept as they are
        self._axes = self.figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(HEIGHT, 0), autoscale_on=False)
        self._axes.set_axis_off()
        self._columns, self._column = columns, 0
        self._width = (WIDTH - 2 * MARGIN - (columns - 1) * 2 * GAP) / columns
        self._top = self._y = MARGIN

    def _write(self, x: float, y: float, text: str, size: int, width: float, draw: bool = True) -> float:
        """Writes a text in lines of at most `width` points; returns the y where it ends."""
        from matplotlib.font_manager import FontProperties

        lines, _ = wrapped(text, 10 * size, 9.7 * width, wide=True)  # a line drawn small is wider by a few hundredths
        font = FontProperties(fname=str(WIDE), size=size)
        for number, line in enumerate(lines if draw else ()):
            self._axes.text(x, y + (number + 0.9) * size * LINE, line, fontproperties=font, parse_math=False)
        return y + len(lines) * size * LINE

    def head(self, texts: Sequence[str]) -> None:
        """Writes paragraphs over the page's whole width, the first one large, before any entry is placed."""
        for number, text in enumerate(texts):
            self._y = self._write(MARGIN, self._y, text, HEADING if number else FIRST, WIDTH - 2 * MARGIN) + 2
        self._top = self._y = self._y + GAP

    def place(self, entry: Entry) -> bool:
        """Draws an entry below the last one or in the next column; returns whether there was room."""
        if self._entry(entry, draw=False) > HEIGHT - MARGIN and self._y > self._top:
            self._column, self._y = self._column + 1, self._top
            if self._column == self._columns:
                return False
            return self.place(entry)
        self._y = self._entry(entry) + GAP
        return True

    def _entry(self, entry: Entry, draw: bool = True) -> float:
        """Draws an entry; returns the y where it ends."""
        left = MARGIN + self._column * (self._width + 2 * GAP)
        top = self._write(left, self._y, entry.title, TITLE, self._width, draw) + 2
        room = (self._width - (FOUR - 1) * GAP) / FOUR
        height, width = entry.tiles[0].shape[:2]
        scale = min(room / width, TALLEST / height)
        bottom = end = top + height * scale
        for number, (tile, caption) in enumerate(zip(entry.tiles, entry.captions, strict=True)):
            x = left + number * (room + GAP)
            if draw:
                self._axes.imshow(tile, extent=(x, x + width * scale, bottom, top), aspect="auto")
            end = max(end, self._write(x, bottom + 1, caption, CAPTION, room, draw))
        return end


def sheet_pages(
    entries: Iterable[Entry], first: Sequence[str], others: Sequence[str], columns: int
) -> "Iterator[Figure]":
    """Draws entries on as many pages as they need; at least one.

    Args:
        entries: the rows of pictures.
        first: paragraphs above those of the first page.
        others: paragraphs above those of each other page.
        columns: number of columns.
    """
    page = _Page(columns)
    page.head(first)
    for entry in entries:
        if not page.place(entry):
            yield page.figure
            page = _Page(columns)
            page.head(others)
            page.place(entry)
    yield page.figure


def write_contact_sheet(
    entries: Iterable[Entry], folder: pathlib.Path, first: Sequence[str], others: Sequence[str]
) -> None:
    """Writes `contact_sheet.pdf` and a PNG file for each of its pages, `page_001.png` and so on.

    Args:
        entries: the rows of pictures.
        folder: folder to write to, which exists.
        first: paragraphs above those of the first page.
        others: paragraphs above those of each other page.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(folder / "contact_sheet.pdf") as pdf:
        for number, page in enumerate(sheet_pages(entries, first, others, columns=2), 1):
            page.text(0.5, MARGIN / 2 / HEIGHT, f"page {number}", fontsize=CAPTION, ha="center")
            pdf.savefig(page, dpi=DPI)
            page.savefig(folder / f"page_{number:03d}.png", dpi=DPI)
