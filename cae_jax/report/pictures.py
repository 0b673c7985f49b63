"""Turns arrays into pictures: single images, captioned grids, and text, of any script and never cut off."""

import functools
import pathlib
from collections.abc import Iterable, Mapping

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from cae_jax.file_names import printable
from cae_jax.images import to_uint8

GAP = 2
CAPTION = 92
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
WIDE = pathlib.Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


def to_picture(image: np.ndarray, scale: int = 1) -> Image.Image:
    """Turns an image `[height, width, channels]` in [0, 1] into an RGB picture, enlarged `scale` times."""
    pixels = to_uint8(image)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def enlargement(height: int, wanted: int = 56) -> int:
    """The whole factor by which to enlarge an image of some height, toward `wanted` pixels; at least 1."""
    return max(1, wanted // height)


def picture_grid(rows: Mapping[str, np.ndarray]) -> Image.Image:
    """Draws images as a grid of captioned rows; the images of a column belong together.

    Args:
        rows: caption of each row to its images, `[columns, height, width, channels]` in [0, 1]; all rows have one
            shape.
    """
    columns, height, width, _ = next(iter(rows.values())).shape
    scale = enlargement(height)
    cell_width, cell_height = width * scale + GAP, height * scale + GAP
    sheet = Image.new("RGB", (CAPTION + columns * cell_width, len(rows) * cell_height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (caption, images) in enumerate(rows.items()):
        top = GAP + row * cell_height
        draw.text((4, top + cell_height // 2 - 6), caption, fill="black")
        for column, image in enumerate(images):
            sheet.paste(to_picture(image, scale), (CAPTION + column * cell_width, top))
    return sheet


@functools.cache
def _fonts(size: int) -> tuple[Font, Font]:
    """Pillow's own font, used for ASCII, and a font with most alphabets; neither has Chinese or emoji."""
    return ImageFont.load_default(size), ImageFont.truetype(WIDE, size)


@functools.cache
def _alphabets() -> frozenset[int]:
    """Code points that the font with most alphabets has."""
    return frozenset(FT2Font(str(WIDE)).get_charmap())


def lettered(text: str, size: int, wide: bool = False) -> tuple[str, Font]:
    """Returns a text as it can be drawn, and the font for it; a character without a glyph becomes its escape.

    Args:
        text: any text.
        size: size of the letters in pixels.
        wide: whether to use the font with most alphabets, `WIDE`, for ASCII too.
    """
    text = printable(text)
    plain, all_alphabets = _fonts(size)
    if text.isascii() and not wide:
        return text, plain
    escape = lambda c: c if ord(c) in _alphabets() else c.encode("unicode_escape").decode()  # noqa: E731
    return "".join(map(escape, text)), all_alphabets


def _pieces(words: Iterable[str], font: Font, width: float) -> Iterable[str]:
    """Yields words; a word wider than `width` pixels is cut into pieces that fit."""
    for word in words:
        while font.getlength(word) > width and len(word) > 1:
            fits = next((n for n in range(len(word) - 1, 1, -1) if font.getlength(word[:n]) <= width), 1)
            yield word[:fits]
            word = word[fits:]
        yield word


def wrapped(text: str, size: int, width: float, wide: bool = False) -> tuple[list[str], Font]:
    """Breaks a text into lines of at most `width` pixels; returns the lines and their font. Nothing is left out.

    `wide` is that of `lettered`.
    """
    text, font = lettered(text, size, wide)
    lines = [""]
    for piece in _pieces(text.split(" "), font, width):
        longer = f"{lines[-1]} {piece}" if lines[-1] else piece
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(piece)
    return lines, font
