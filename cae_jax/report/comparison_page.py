"""Draws a comparison of methods as one self-contained HTML page: tables, differences, the same images side by side."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np

from cae_jax.report.html import data_uri, fill_in

SIDE = 96


class Section(NamedTuple):
    """The page's section on one kind of methods, such as attributions.

    Attributes:
        title: heading of the section.
        intro: what is compared, in a sentence.
        columns: names of the scores, each with an arrow toward better values.
        rows: name of each method and its cells; for a method that failed, the reason is the only cell.
        differences: name of the score, name of the other method, and the difference as text.
        captions: P captions of the images that are shown side by side.
        pictures: name of each method to its saliency maps `[P, height, width]` or its images
            `[P, height, width, channels]` in [0, 1].
    """

    title: str
    intro: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    differences: Sequence[tuple[str, str, str]]
    captions: Sequence[str]
    pictures: Mapping[str, np.ndarray]


def map_colours(saliency: np.ndarray) -> np.ndarray:
    """Colours a saliency map `[height, width]`: RGB `[height, width, 3]` in [0, 1], from dark (0) to bright (most).

    The scale ends at the map's 99.5th percentile, so that a single extreme pixel does not darken all others. Negative
    values are shown as 0.
    """
    top = max(float(np.percentile(saliency, 99.5)), 1e-12)
    return mpl.colormaps["inferno"](np.clip(saliency / top, 0.0, 1.0))[..., :3]


def _picture(picture: np.ndarray) -> str:
    return data_uri(map_colours(picture) if picture.ndim == 2 else picture, SIDE)


def comparison_page(
    title: str,
    facts: Mapping[str, str],
    sections: Sequence[Section],
    exemplars: np.ndarray,
    names: Sequence[str],
    verdict: str = "",
) -> str:
    """Returns the page's HTML.

    Args:
        title: title of the page.
        facts: facts shown under the title, by name.
        sections: sections of the page, one for each kind of methods.
        exemplars: images that are shown, `[P, height, width, channels]` in [0, 1].
        names: P names of these images.
        verdict: why the model of CAE is not to be relied on; '' if nothing is known against it.
    """
    return fill_in(
        "comparison",
        title=title,
        facts=facts,
        names=names,
        verdict=verdict,
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
