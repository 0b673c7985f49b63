"""Text on pictures: names of any script and length, whole."""

import functools
import pathlib
from collections.abc import Iterable

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from cae_jax.file_names import printable

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
WIDE = pathlib.Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


@functools.cache
def _fonts(size: int) -> tuple[Font, Font]:
    """Pillow's own font, which has ASCII, and one with most alphabets; neither has Chinese or emoji."""
    return ImageFont.load_default(size), ImageFont.truetype(WIDE, size)


@functools.cache
def _alphabets() -> frozenset[int]:
    """The characters that the second font has."""
    return frozenset(FT2Font(str(WIDE)).get_charmap())


def lettered(text: str, size: int) -> tuple[str, Font]:
    """Text as it can be drawn, and the font for it; a character that no font here has stands as its escape."""
    text = printable(text)
    plain, wide = _fonts(size)
    if text.isascii():
        return text, plain
    escape = lambda c: c if ord(c) in _alphabets() else c.encode("unicode_escape").decode()  # noqa: E731
    return "".join(map(escape, text)), wide


def _pieces(words: Iterable[str], font: Font, width: float) -> Iterable[str]:
    """Words, those that are too wide in pieces."""
    for word in words:
        while font.getlength(word) > width and len(word) > 1:
            fits = next((n for n in range(len(word) - 1, 1, -1) if font.getlength(word[:n]) <= width), 1)
            yield word[:fits]
            word = word[fits:]
        yield word


def wrapped(text: str, size: int, width: float) -> tuple[list[str], Font]:
    """The lines of a text that is as wide as there is room for, and their font; nothing is left out."""
    text, font = lettered(text, size)
    lines = [""]
    for piece in _pieces(text.split(" "), font, width):
        longer = f"{lines[-1]} {piece}" if lines[-1] else piece
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(piece)
    return lines, font
