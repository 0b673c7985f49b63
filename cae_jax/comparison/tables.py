"""Results as tables: means with intervals, differences of CAE from the best others, as CSV and Markdown."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cae_jax import metrics
from cae_jax.comparison.scores import better
from cae_jax.comparison.suite import Result

OURS = "CAE"
CONTROL = "control: "
MAIN = {
    "attributions": (
        "AOPC",
        "LeRF−MoRF",
        "insertion",
        "ROAD",
        "pointing game",
        "IoU",
        "mass on the mark",
        "seconds",
    ),
    "counterfactuals": ("validity", "oracle", "L1", "sparsity", "COUT", "truth L1", "KID", "seconds"),
}
"""Columns of the short tables; the CSV has all."""


class Cell(NamedTuple):
    """A mean and its interval; NaN where there is none."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.mean):
            return "–"
        digits = 4 if abs(self.mean) < 0.1 else 3
        if np.isnan(self.low):
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


NOTHING = Cell(np.nan, np.nan, np.nan)


def cells(result: Result, seed: int, resamples: int) -> dict[str, Cell]:
    """The cells of a method's row, by column."""
    row = {}
    for name, values in result.scores.items():
        if values.ndim == 0:
            row[name] = Cell(float(values), np.nan, np.nan)
        elif np.isnan(values).all():
            row[name] = NOTHING
        else:
            row[name] = Cell(*metrics.bootstrap_interval(values, seed, resamples))
    return row | {"seconds": Cell(result.seconds, np.nan, np.nan)}


class Difference(NamedTuple):
    """How much better our method is than another one on the same images, in a score; above 0 is better.

    Attributes:
        score: its name.
        other: the best of its kind, by the mean.
        difference: paired.
    """

    score: str
    other: str
    difference: Cell


def differences(results: Sequence[Result], seed: int, resamples: int) -> list[Difference]:
    """CAE against the best baseline and the best control, in every score that is there for each image."""
    ours = next((result for result in results if result.name == OURS and not result.error), None)
    if ours is None:
        return []
    rest = [result for result in results if not result.name.startswith(OURS) and not result.error]
    groups = (
        [result for result in rest if not result.name.startswith(CONTROL)],
        [result for result in rest if result.name.startswith(CONTROL)],
    )
    found = []
    for score, values in ours.scores.items():
        for group in groups:
            rivals = [r for r in group if score in r.scores and not np.isnan(r.scores[score]).all()]
            if values.ndim == 0 or np.isnan(values).all() or not rivals:
                continue
            sign = better(score)
            best = max(rivals, key=lambda r: sign * np.nanmean(r.scores[score]))
            pair = metrics.paired_difference(sign * values, sign * best.scores[score], seed, resamples)
            found.append(Difference(score, best.name, Cell(*pair)))
    return found


def columns_of(results: Sequence[Result], only: Sequence[str] = ()) -> list[str]:
    """Scores that any method has, in order; of `only`, if it is given."""
    seen = dict.fromkeys(name for result in results for name in result.scores) | {"seconds": None}
    return [name for name in (only or seen) if name in seen]


def markdown(results: Sequence[Result], seed: int, resamples: int, only: Sequence[str] = ()) -> str:
    """A table of methods (rows) and scores (columns) with arrows to the better side."""
    columns = columns_of(results, only)
    arrows = [f"{name} {'↑' if better(name) > 0 else '↓'}" for name in columns]
    lines = [f"| | {' | '.join(arrows)} |", "|---" * (len(columns) + 1) + "|"]
    for result in results:
        row = cells(result, seed, resamples)
        texts = [str(row.get(name, NOTHING)) for name in columns] if not result.error else [f"failed: {result.error}"]
        lines.append(f"| {result.name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def differences_markdown(found: Sequence[Difference]) -> str:
    """A table of differences."""
    lines = ["| score | CAE better than | by |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {x.score} | {x.other} | {x.difference} |" for x in found)])


def as_csv(results: Sequence[Result], seed: int, resamples: int) -> str:
    """All scores as CSV: kind, method, score, mean, low, high, images, error."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(("kind", "method", "score", "mean", "low", "high", "images", "error"))
    for result in results:
        for name, cell in cells(result, seed, resamples).items():
            values = result.scores.get(name, np.asarray(np.nan))
            writer.writerow((result.kind, result.name, name, *cell, int(np.isfinite(values).sum()), result.error))
    return file.getvalue()
