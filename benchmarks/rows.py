"""What a benchmark found, row by row: as a CSV file, as a table in the terminal, as bars."""

import csv
import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib
from rich.console import Console
from rich.table import Table


def write_rows(rows: list[dict[str, Any]], path: pathlib.Path, console: Console, title: str = "") -> None:
    """Writes rows of the same columns to a CSV file, whose folder is made if need be, and prints them, shortened."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    print_rows(rows, console, title)


def print_rows(rows: list[dict[str, Any]], console: Console, title: str = "") -> None:
    """Prints rows of the same columns as a table, numbers shortened."""
    table = Table(*rows[0], title=title or None)
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3g}" for value in row.values()))
    console.print(table)


def draw_bars(
    rows: list[dict[str, Any]], labels: Sequence[str], columns: Sequence[str], path: pathlib.Path, scale: str = "linear"
) -> None:
    """Draws the columns of each row as bars below each other, the first row on top.

    Args:
        rows: as written.
        labels: of the rows.
        columns: what is drawn of a row, one colour each.
        path: of the picture.
        scale: 'linear' or 'log'.
    """
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    height = 0.8 / len(columns)
    figure, axes = plt.subplots(figsize=(8, 1 + 0.3 * len(rows) * len(columns)), layout="constrained")
    for i, column in enumerate(columns):
        values = [row[column] for row in rows]
        bars = axes.barh([j + i * height for j in range(len(rows))], values, height, label=column)
        axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.set_yticks([j + 0.4 - height / 2 for j in range(len(rows))], labels)
    axes.set(xscale=scale)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.legend()
    figure.savefig(path, dpi=120)
