"""A comparison of methods as one self-contained HTML page: tables, differences, the same images side by side."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np

from cae_jax.report.html import data_uri, fill_in

SIDE = 96


class Section(NamedTuple):
    """A kind of methods.

    Attributes:
        title: of it.
        intro: what is compared, in a sentence.
        columns: names of scores, with an arrow to the better side.
        rows: methods and their cells, or the reason of a failure as the only cell.
        differences: score, other method, difference.
        captions: of the images side by side.
        pictures: by method, maps `[P, height, width]` or images `[P, height, width, channels]` in [0, 1].
    """

    title: str
    intro: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    differences: Sequence[tuple[str, str, str]]
    captions: Sequence[str]
    pictures: Mapping[str, np.ndarray]


def map_colours(saliency: np.ndarray) -> np.ndarray:
    """A map `[height, width]` as colours `[height, width, 3]` in [0, 1]: dark is nothing, bright most of this map.

    The scale ends at the 99.5th percentile, so that one pixel does not darken the others; below 0 counts as nothing.
    """
    top = max(float(np.percentile(saliency, 99.5)), 1e-12)
    return mpl.colormaps["inferno"](np.clip(saliency / top, 0.0, 1.0))[..., :3]


def _picture(picture: np.ndarray) -> str:
    return data_uri(map_colours(picture) if picture.ndim == 2 else picture, SIDE)


def comparison_page(
    title: str, facts: Mapping[str, str], sections: Sequence[Section], exemplars: np.ndarray, names: Sequence[str]
) -> str:
    """The page.

    Args:
        title: of it.
        facts: shown under the title, by name.
        sections: kinds of methods.
        exemplars: `[P, height, width, channels]` in [0, 1], the images that are shown.
        names: of those.
    """
    return fill_in(
        "comparison",
        title=title,
        facts=facts,
        names=names,
        exemplars=[_picture(image) for image in exemplars],
        sections=[
            section._asdict()
            | {
                "pictures": {
                    name: [_picture(picture) for picture in pictures] for name, pictures in section.pictures.items()
                }
            }
            for section in sections
        ],
    )
