"""What a benchmark found, row by row: as a CSV file and as a table in the terminal."""

import csv
import pathlib
from typing import Any

from rich.console import Console
from rich.table import Table


def write_rows(rows: list[dict[str, Any]], path: pathlib.Path, console: Console, title: str = "") -> None:
    """Writes rows of the same columns to a CSV file, whose folder is made if need be, and prints them, shortened."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    table = Table(*rows[0], title=title or None)
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3g}" for value in row.values()))
    console.print(table)
