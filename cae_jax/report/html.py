"""What all pages share: templates filled in, pictures inside of them, the colours of classes."""

import base64
import importlib.resources
import io
from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from cae_jax.images import to_uint8

PALETTE = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222255", "#ee8866", "#44bb99"
)  # fmt: skip


def fill_in(template: str, **values: Any) -> str:
    """A page, of the name of its template and the values that it shows; texts are escaped."""
    source = importlib.resources.files("cae_jax.report").joinpath(f"templates/{template}.html.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(source).render(**values)


def _uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def data_uri(image: np.ndarray, side: int | None = None) -> str:
    """`[height, width, channels]`, uint8 or float in [0, 1], as a PNG in a URI; at most `side` large."""
    pixels = image if image.dtype == np.uint8 else to_uint8(image)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if side and max(picture.size) > side:
        picture.thumbnail((side, side))
    return _uri(picture)


def tiles_uri(tiles: Sequence[np.ndarray] | np.ndarray) -> str:
    """Tiles `[height, width, 3]` uint8, a saliency map last, side by side as one PNG in a URI."""
    picture = Image.fromarray(np.concatenate(list(tiles), axis=1))
    if all((tile[..., 0] == tile[..., 1]).all() for tile in tiles[:-1]):
        picture = picture.quantize(256)  # grey but for the map: a palette is a third of the size
    return _uri(picture)


def class_colour(number: int) -> str:
    """A class's colour, the same everywhere; beyond ten classes they come again."""
    return PALETTE[number % len(PALETTE)]
