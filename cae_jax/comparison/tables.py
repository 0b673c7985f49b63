"""Formats results as CSV and Markdown tables: means with confidence intervals, and CAE's differences to the others."""

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
        "pointing game",
        "IoU",
        "mass on the mark",
        "LeRF−MoRF",
        "LeRF−MoRF, used to gaps",
        "insertion",
        "ROAD",
        "ROAD, blurred",
        "seconds",
    ),
    "counterfactuals": ("validity", "oracle", "SVM", "L1", "sparsity", "COUT", "truth L1", "KID", "seconds"),
}
"""Columns of the short tables, those of the truth first where it is known; the CSV has all."""


class Cell(NamedTuple):
    """A mean and the ends of its confidence interval; NaN where there is none."""

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
    """A method's scores, and its seconds per image as one more."""
    return result.scores | {"seconds": lower(result.seconds)}


@functools.cache
def cells(result: Result, seed: int, resamples: int) -> dict[str, Cell]:
    """The cells of a method's row, by name of the score.

    Args:
        result: result of the method.
        seed: seed of the bootstrap.
        resamples: number of bootstrap resamples.
    """
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
    """How much better CAE is than another method in one score, on the same images.

    Attributes:
        score: name of the score.
        other: name of the other method: the baseline or control with the best mean.
        difference: mean paired difference and its confidence interval; above 0 where CAE is better.
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
        other.label,
        Cell(*metrics.paired_difference(sign * first.values, sign * second.values, seed, resamples)),
    )


def differences(results: Sequence[Result], seed: int, resamples: int) -> list[Difference]:
    """Compares CAE with the best baseline and the best control, in every score that has a value for each image.

    Args:
        results: results of all methods of one kind.
        seed: seed of the bootstrap.
        resamples: number of bootstrap resamples.
    """
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
    """Maps the names of all scores that any method has, or of those in `only`, to headings with an arrow.

    The arrow points up where higher values are better, and down where lower ones are.
    """
    seen = {name: score for result in results for name, score in result.scores.items()} | {"seconds": lower(np.nan)}
    arrows = {name: f"{name} {'↓' if score.lower_is_better else '↑'}" for name, score in seen.items()}
    return {name: arrows[name] for name in (only or arrows) if name in arrows}


def markdown(results: Sequence[Result], seed: int, resamples: int, only: Sequence[str] = ()) -> str:
    """A Markdown table of methods (rows) and scores (columns); an arrow shows whether higher or lower is better.

    Args:
        results: results of the methods.
        seed: seed of the bootstrap.
        resamples: number of bootstrap resamples.
        only: names of the scores to show; empty for all.
    """
    columns = columns_of(results, only)
    lines = [f"| | {' | '.join(columns.values())} |", "|---" * (len(columns) + 1) + "|"]
    for result in results:
        row = cells(result, seed, resamples)
        texts = [str(row.get(name, NOTHING)) for name in columns]
        if result.error:
            texts = [f"failed: {' '.join(result.error.split())}".replace("|", "\\|")]
        lines.append(f"| {result.label} | {' | '.join(texts)} |")
    return "\n".join(lines)


def differences_markdown(found: Sequence[Difference]) -> str:
    """A Markdown table of differences."""
    lines = ["| score | CAE better than | by |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {x.score} | {x.other} | {x.difference} |" for x in found)])


def as_csv(results: Sequence[Result], seed: int, resamples: int) -> str:
    """All scores as CSV text, with the columns kind, method, score, mean, low, high, images and error.

    Args:
        results: results of the methods.
        seed: seed of the bootstrap.
        resamples: number of bootstrap resamples.
    """
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(("kind", "method", "score", "mean", "low", "high", "images", "error"))
    for result in results:
        for name, cell in cells(result, seed, resamples).items():
            values = result.scores[name].values if name in result.scores else np.asarray(np.nan)
            writer.writerow((result.kind, result.label, name, *cell, int(np.isfinite(values).sum()), result.error))
    return file.getvalue()
