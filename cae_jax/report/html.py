"""What all HTML pages share: filling in templates, and embedding pictures."""

import base64
import importlib.resources
import io
from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from cae_jax.images import to_uint8


def fill_in(template: str, **values: Any) -> str:
    """Returns the HTML of a template, given by name, with values filled in; texts are escaped."""
    source = importlib.resources.files("cae_jax.report").joinpath(f"templates/{template}.html.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(source).render(**values)


def _uri(picture: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


def data_uri(image: np.ndarray, side: int | None = None, kind: str = "PNG") -> str:
    """Encodes an image as a data URI.

    Args:
        image: `[height, width, 1, 3 or 4]`, uint8 or float in [0, 1]; the fourth channel is the opacity.
        side: greatest height and width in pixels, to which a larger image is reduced; None for no limit.
        kind: 'PNG', or 'JPEG' for large photographs.
    """
    pixels = image if image.dtype == np.uint8 else to_uint8(image)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if side and max(picture.size) > side:
        picture.thumbnail((side, side))
    return _uri(picture, kind)


def tiles_uri(tiles: Sequence[np.ndarray] | np.ndarray) -> str:
    """Encodes tiles `[height, width, 3]` uint8, of which the last is the saliency map, as one row in a PNG data URI."""
    picture = Image.fromarray(np.concatenate(list(tiles), axis=1))
    if all((tile[..., 0] == tile[..., 1]).all() for tile in tiles[:-1]):
        picture = picture.quantize(256)  # all but the map are grey: with a palette, the file is a third of the size
    return _uri(picture)
