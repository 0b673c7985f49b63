"""Results as tables: means with intervals, differences of CAE from the best others, as CSV and Markdown."""

import csv
import functools
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cae_jax import metrics
from cae_jax.comparison.methods import Role
from cae_jax.comparison.scores import Score, lower
from cae_jax.comparison.suite import Result

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


def _scores(result: Result) -> dict[str, Score]:
    """A method's scores, with how long it took."""
    return result.scores | {"seconds": lower(result.seconds)}


@functools.cache
def cells(result: Result, seed: int, resamples: int) -> dict[str, Cell]:
    """The cells of a method's row, by column."""
    row = {}
    for name, (values, _) in _scores(result).items():
        if values.ndim == 0:
            row[name] = Cell(float(values), np.nan, np.nan)
        elif np.isnan(values).all():
            row[name] = NOTHING
        else:
            row[name] = Cell(*metrics.bootstrap_interval(values, seed, resamples))
    return row


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


@functools.cache
def _difference(ours: Result, other: Result, score: str, seed: int, resamples: int) -> Difference:
    first, second = ours.scores[score], other.scores[score]
    sign = -1 if first.lower_is_better else 1
    return Difference(
        score,
        other.name,
        Cell(*metrics.paired_difference(sign * first.values, sign * second.values, seed, resamples)),
    )


def differences(results: Sequence[Result], seed: int, resamples: int) -> list[Difference]:
    """CAE against the best baseline and the best control, in every score that is there for each image."""
    whole = [result for result in results if not result.error]
    ours = next((result for result in whole if result.role == Role.OURS), None)
    if ours is None:
        return []
    found = []
    for name, score in ours.scores.items():
        for role in (Role.BASELINE, Role.CONTROL):
            group = [result for result in whole if result.role == role]
            rivals = [r for r in group if name in r.scores and not np.isnan(r.scores[name].values).all()]
            if score.values.ndim == 0 or np.isnan(score.values).all() or not rivals:
                continue
            sign = -1 if score.lower_is_better else 1
            best = max(rivals, key=lambda r: sign * np.nanmean(r.scores[name].values))
            found.append(_difference(ours, best, name, seed, resamples))
    return found


def columns_of(results: Sequence[Result], only: Sequence[str] = ()) -> dict[str, str]:
    """Scores that any method has, in order, with arrows to the better side; of `only`, if it is given."""
    seen = {name: score for result in results for name, score in result.scores.items()} | {"seconds": lower(np.nan)}
    arrows = {name: f"{name} {'↓' if score.lower_is_better else '↑'}" for name, score in seen.items()}
    return {name: arrows[name] for name in (only or arrows) if name in arrows}


def markdown(results: Sequence[Result], seed: int, resamples: int, only: Sequence[str] = ()) -> str:
    """A table of methods (rows) and scores (columns) with arrows to the better side."""
    columns = columns_of(results, only)
    lines = [f"| | {' | '.join(columns.values())} |", "|---" * (len(columns) + 1) + "|"]
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
            values = result.scores[name].values if name in result.scores else np.asarray(np.nan)
            writer.writerow((result.kind, result.name, name, *cell, int(np.isfinite(values).sum()), result.error))
    return file.getvalue()
