"""Formats metrics as tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """Returns a two-column table of names and values; floats have four decimals, and nested records are left out."""
    table = Table(title="held-out test split")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            continue
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    return table
