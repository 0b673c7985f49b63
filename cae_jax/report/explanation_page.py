"""Draws explanations as one self-contained HTML page: a card for each row, below a table of totals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cae_jax.file_names import printable
from cae_jax.options import ExplainOptions
from cae_jax.report.html import data_uri, fill_in, tiles_uri
from cae_jax.report.legend import CAUTION, ENDINGS, MAPS
from cae_jax.report.strips import answer_name, class_name, explanation_tiles, resize_tiles, saliency_veil
from cae_jax.types import Box, Ending, Explanation, Picture

MOST_CARDS = 1000
MOST_BYTES = 64 * 2**20  # of their pictures, which browsers must bear; a card of 128×128 takes some 200 to 400 KB
MOST_FEWER = 50  # requests listed, of those with fewer answers than asked for
TILE = 128  # largest side of a picture in the page
ENDED, NOT_ENDED = ("counterfactual", "saliency"), ("path's end", "no map")  # captions of a row's last two pictures
MOST_WHOLE, WHOLE = 100, 800  # whole pictures in the page, and the largest side of one


def inset(place: Box, height: int, width: int) -> str:
    """How far a rectangle lies within the edges of a picture, in CSS: top, right, bottom, left."""
    top, left = place.top / height, place.left / width
    edges = (top, 1 - left - place.width / width, 1 - top - place.height / height, left)
    return " ".join(f"{100 * edge:.4f}%" for edge in edges)


def totals(endings: np.ndarray, shifts: np.ndarray) -> list[dict[str, Any]]:
    """Counts the explanations of each `Ending`: a row each for the table on top of the page.

    A row also has the count as a share of all explanations, the median shift, and, for the three endings of a searched
    path, the count as a share of those for which a path was searched.

    Args:
        endings: `Ending` of each explanation, `[M]`.
        shifts: shift of each counterfactual, `[M]`; NaN where there is none.
    """
    reconstructed = ~np.isin(
        endings, (Ending.NOT_RECONSTRUCTED, Ending.ALREADY_TARGET, Ending.NO_REFERENCE, Ending.NO_ANSWER)
    )
    rows = []
    for ending in Ending:
        of = endings == ending
        walked = ending in (Ending.FLIPPED, Ending.WEAK, Ending.NOT_FLIPPED)
        found = shifts[of & np.isfinite(shifts)]
        rows.append(
            {
                "ending": ending,
                "count": int(of.sum()),
                "of_all": float(of.mean()) if len(endings) else 0.0,
                "of_reconstructed": float(of.sum() / max(reconstructed.sum(), 1)) if walked else None,
                "median_shift": float(np.median(found)) if len(found) else None,
            }
        )
    return rows


@dataclass
class ExplanationPage:
    """Collects the cards of explanations and renders the page.

    Attributes:
        class_names: K names of classes.
        facts: facts shown under the title, by name.
        verdict: why the model is not to be relied on; '' if nothing is known against it.
        saliency: kind of the maps, of `ExplainOptions`.
        whole: the whole picture of an image, by its name; None where there is no more of it than the image.
    """

    class_names: Sequence[str]
    facts: Mapping[str, str]
    verdict: str = ""
    saliency: str = ExplainOptions.saliency
    whole: Callable[[str], Picture | None] = lambda name: None

    def __post_init__(self) -> None:
        self.class_names = list(map(printable, self.class_names))
        self._cards: list[dict[str, Any]] = []
        self._bytes = 0
        self._wholes: list[dict[str, Any]] = []
        self._tried: dict[str, dict[str, Any] | None] = {}
        self._endings: list[np.ndarray] = []
        self._shifts: list[np.ndarray] = []

    def add(self, explanation: Explanation, images: np.ndarray, names: Sequence[str]) -> None:
        """Adds a card for each row of an explanation record, up to `MOST_CARDS` cards and `MOST_BYTES` in all.

        Args:
            explanation: the record; its `image_index` refers to `images`.
            images: exemplars, `[N, height, width, channels]` in [0, 1].
            names: names of the N exemplars.
        """
        self._endings.append(explanation.status)
        self._shifts.append(explanation.shift)
        for row in range(len(explanation)):
            if len(self._cards) < MOST_CARDS and self._bytes < MOST_BYTES:
                self._cards.append(card := self._card(explanation, row, images, names))
                self._bytes += len(card["sprite"]) + len(card["veil"] or "")

    def _card(self, explanation: Explanation, row: int, images: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        index = int(explanation.image_index[row])
        prediction, target = int(explanation.prediction[row]), int(explanation.target[row])
        probabilities = [*explanation.path_probabilities[row], explanation.counterfactual_probabilities[row]]
        shift, flip = float(explanation.shift[row]), float(explanation.flip_shift[row])
        typicality = float(explanation.typicality[row])
        tiles = explanation_tiles(explanation, row, images[index])
        if tiles.shape[1] > TILE:
            tiles = resize_tiles(tiles, TILE)
        whole = self._whole(names[index])
        captions = [f"{s:.2f}" for s in explanation.path_shifts]
        return {
            "whole": whole and whole["number"],
            "veil": whole and data_uri(saliency_veil(explanation.saliency[row]), WHOLE),
            "name": printable(names[index]),
            "prediction": class_name(self.class_names, prediction),
            "target": self.class_names[target] if target >= 0 else "none",
            "aimed": target >= 0 and target != prediction,
            "ending": Ending(int(explanation.status[row])),
            "shift": shift if np.isfinite(shift) else None,
            "flip": flip if np.isfinite(flip) else None,
            "typicality": typicality if np.isfinite(typicality) and np.isfinite(flip) else None,
            "bits": float(bits) if np.isfinite(bits := explanation.individual_bits[row]) else None,
            "sprite": tiles_uri(tiles),
            "shape": " ".join(map(str, tiles.shape[:3])),
            "captions": ["exemplar", *captions, *(ENDED if np.isfinite(shift) else NOT_ENDED)],
            "answers": [answer_name(self.class_names, p) for p in probabilities],
            "bars": [np.nan_to_num((p[prediction], p[target] if target >= 0 else 0.0)).tolist() for p in probabilities],
        }

    def _whole(self, name: str) -> dict[str, Any] | None:
        """What the page's script needs to show a whole picture; None where there is none, or there are many already."""
        if name not in self._tried and len(self._wholes) < MOST_WHOLE:
            self._tried[name] = None
            if picture := self.whole(name):
                height, width = picture.pixels.shape[:2]
                shown = {
                    "number": len(self._wholes),
                    "picture": data_uri(picture.pixels, WHOLE, "JPEG"),
                    "ratio": f"{width} / {height}",
                    "inset": inset(picture.place, height, width),
                }
                self._wholes.append(shown)
                self._tried[name] = shown
        return self._tried.get(name)

    def render(
        self, failures: Iterable[tuple[str, str]] = (), missing: int = 0, fewer: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        """Returns the page's HTML.

        Args:
            failures: name of each image that could not be explained, and the reason.
            missing: number of images that were asked for and are not explained yet.
            fewer: a record for each request that has fewer answers than asked for, with the keys `image`, `target`,
                `asked`, `found` and `why`.
        """
        endings = np.concatenate([*self._endings, np.empty(0, int)])
        shifts = np.concatenate([*self._shifts, np.empty(0)])
        return fill_in(
            "explanation",
            facts={name: printable(value) for name, value in self.facts.items()},
            verdict=printable(self.verdict),
            cards=self._cards,
            wholes=self._wholes,
            most_whole=MOST_WHOLE,
            count=len(endings),
            told_in_bits=any(card["bits"] is not None for card in self._cards),
            totals=totals(endings, shifts),
            meaning=ENDINGS,
            colours=MAPS[self.saliency],
            caution=CAUTION,
            failures=[tuple(map(printable, failure)) for failure in failures],
            missing=missing,
            fewer=[
                {**row, "image": printable(row["image"]), "target": printable(row["target"])}
                for row in fewer[:MOST_FEWER]
            ],
            with_fewer=len(fewer),
        )
