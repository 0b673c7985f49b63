"""Arrays to pictures: for pages, and as grids with a caption for every row."""

import base64
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from cae_jax.images import to_uint8

GAP = 2
CAPTION = 92


def to_picture(image: np.ndarray, scale: int = 1) -> Image.Image:
    """Turns `[height, width, channels]` in [0, 1] into an RGB picture, every pixel drawn `scale` times in both ways."""
    pixels = to_uint8(image)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def data_uri(image: np.ndarray, side: int | None = None) -> str:
    """`[height, width, channels]`, uint8 or float in [0, 1], as a PNG in a URI; at most `side` large."""
    pixels = image if image.dtype == np.uint8 else to_uint8(image)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if side and max(picture.size) > side:
        picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def enlargement(height: int, wanted: int = 56) -> int:
    """How many times to draw a pixel so that small images can be seen."""
    return max(1, wanted // height)


def picture_grid(rows: Mapping[str, np.ndarray]) -> Image.Image:
    """Draws images in captioned rows; those of a column belong together.

    Args:
        rows: by caption, `[columns, height, width, channels]` in [0, 1], all of one shape.
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
