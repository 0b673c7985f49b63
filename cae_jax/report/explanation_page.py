"""Explanations as one self-contained HTML page: a card for every row, a table of totals on top."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cae_jax.file_names import printable
from cae_jax.report.html import fill_in, tiles_uri
from cae_jax.report.strips import answer_name, class_name, explanation_tiles, resize_tiles
from cae_jax.types import Ending, Explanation

MOST_CARDS = 2000
MOST_FEWER = 50  # requests with fewer answers than asked for that are listed
TILE = 96  # largest side of a picture in the page


def totals(endings: np.ndarray, shifts: np.ndarray) -> list[dict[str, Any]]:
    """Rows of the table on top: how many explanations ended how, of all and of the reconstructed.

    Args:
        endings: `[M]`, `Ending`s.
        shifts: `[M]`, NaN where there is none.
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
    """Collects cards and renders the page.

    Attributes:
        class_names: K names.
        facts: shown under the title, by name.
    """

    class_names: Sequence[str]
    facts: Mapping[str, str]

    def __post_init__(self) -> None:
        self.class_names = list(map(printable, self.class_names))
        self._cards: list[dict[str, Any]] = []
        self._endings: list[np.ndarray] = []
        self._shifts: list[np.ndarray] = []

    def add(self, explanation: Explanation, images: np.ndarray, names: Sequence[str]) -> None:
        """Adds the rows of a record.

        Args:
            explanation: the record; its `image_index` counts the images handed in here.
            images: `[N, height, width, channels]` in [0, 1].
            names: of the N images.
        """
        self._endings.append(explanation.status)
        self._shifts.append(explanation.shift)
        for row in range(len(explanation)):
            if len(self._cards) < MOST_CARDS:
                self._cards.append(self._card(explanation, row, images, names))

    def _card(self, explanation: Explanation, row: int, images: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        index = int(explanation.image_index[row])
        prediction, target = int(explanation.prediction[row]), int(explanation.target[row])
        probabilities = [*explanation.path_probabilities[row], explanation.counterfactual_probabilities[row]]
        shift, flip = float(explanation.shift[row]), float(explanation.flip_shift[row])
        tiles = explanation_tiles(explanation, row, images[index])
        if tiles.shape[1] > TILE:
            tiles = resize_tiles(tiles, TILE)
        captions = [f"{s:.2f}" for s in explanation.path_shifts]
        return {
            "name": printable(names[index]),
            "prediction": class_name(self.class_names, prediction),
            "target": self.class_names[target] if target >= 0 else "none",
            "aimed": target >= 0 and target != prediction,
            "ending": Ending(int(explanation.status[row])),
            "shift": shift if np.isfinite(shift) else None,
            "flip": flip if np.isfinite(flip) else None,
            "sprite": tiles_uri(tiles),
            "captions": ["exemplar", *captions, "counterfactual" if np.isfinite(shift) else "path's end", "saliency"],
            "answers": [answer_name(self.class_names, p) for p in probabilities],
            "bars": [np.nan_to_num((p[prediction], p[max(target, 0)])).tolist() for p in probabilities],
        }

    def render(
        self, failures: Iterable[tuple[str, str]] = (), missing: int = 0, fewer: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        """The page.

        Args:
            failures: names and reasons of images that could not be read.
            missing: images that were asked for and are not explained yet.
            fewer: requests with fewer answers than asked for: `image`, `target`, `asked`, `found` and `why`.
        """
        endings = np.concatenate([*self._endings, np.empty(0, int)])
        shifts = np.concatenate([*self._shifts, np.empty(0)])
        return fill_in(
            "explanation",
            facts={name: printable(value) for name, value in self.facts.items()},
            cards=self._cards,
            count=len(endings),
            totals=totals(endings, shifts),
            failures=[tuple(map(printable, failure)) for failure in failures],
            missing=missing,
            fewer=[
                {**row, "image": printable(row["image"]), "target": printable(row["target"])}
                for row in fewer[:MOST_FEWER]
            ],
            with_fewer=len(fewer),
        )
