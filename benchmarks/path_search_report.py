"""Measurements as a table, CSV, JSON and a plot."""

import csv
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from benchmarks.path_search import Timing

COLUMNS: tuple[str, ...] = ("name", "rows", "seconds", "compile_seconds", "per_second", "decodes", "ours_is_faster")


def _row(timing: Timing, ours: Timing) -> dict[str, Any]:
    return {
        "name": timing.name,
        "rows": timing.rows,
        "seconds": round(timing.seconds, 4),
        "compile_seconds": round(timing.compile_seconds, 2),
        "per_second": round(timing.per_second, 2),
        "decodes": round(timing.decodes, 2),
        "ours_is_faster": round(ours.per_second / timing.per_second, 2),
    }


def table(timings: Sequence[Timing], tolerance: float) -> Table:
    """The ways to search, the first of which the others are compared with."""
    result = Table(title=f"tolerance 1/{round(1 / tolerance)}")
    for column in ("", "rows", "per s", "decodes", "compile s", "ours is"):
        result.add_column(column)
    for row in (_row(timing, timings[0]) for timing in timings):
        result.add_row(
            row["name"],
            str(row["rows"]),
            str(row["per_second"]),
            str(row["decodes"]),
            str(row["compile_seconds"]),
            f"{row['ours_is_faster']}× faster",
        )
    return result


def write_csv(path: pathlib.Path, timings: Sequence[Timing]) -> list[dict[str, Any]]:
    """Writes a row a way and returns the rows; the first is what the others are compared with."""
    rows = [_row(timing, timings[0]) for timing in timings]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def write(
    folder: pathlib.Path,
    timings: Sequence[Timing],
    batches: Sequence[Timing],
    quality: dict[str, Any],
    memory: dict[str, float],
    agreement: dict[str, float],
    tolerance: float,
) -> None:
    """Writes `search.csv` (a row a way), `search.json` (everything) and `search.png` (throughput over batch size)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = write_csv(folder / "search.csv", [*timings, *batches])
    whole = {
        "tolerance": tolerance,
        "ways": rows,
        "quality": quality,
        "peak_memory_bytes": memory,
        "largest_difference_of_a_shift": agreement,
    }
    (folder / "search.json").write_text(json.dumps(whole, indent=1))
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    sizes = [int(timing.name.rsplit(" ", 1)[1]) for timing in batches]
    axes.plot(sizes, [timing.per_second for timing in batches], marker="o", label="ours")
    for timing in timings[2:]:
        axes.axhline(timing.per_second, linestyle=":", color="gray")
        axes.annotate(timing.name, (sizes[0], timing.per_second), (0, 3), textcoords="offset points", fontsize=8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("rows decoded together")
    axes.set_ylabel("counterfactuals per second")
    axes.legend()
    figure.savefig(folder / "search.png", dpi=120)
