"""A benchmark in parts, the most important first: each is kept once it is done, or says why it is not."""

import csv
import json
import pathlib
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jinja2
from rich.console import Console

from benchmarks.rows import print_rows

Row = dict[str, Any]
DONE, FAILED, LEFT_OUT = "done", "failed", "left out"
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
  body { font: 14px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 24px; }
  table { border-collapse: collapse; } h2 { font-size: 17px; margin: 28px 0 4px; }
  th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid #ddd; }
  th:first-child, td:first-child { text-align: left; } .failed { color: #c82828; } pre { overflow-x: auto; }
</style>
<h1>{{ title }}</h1>
{% for part in parts %}
<h2>{{ part.name }}</h2>
<p class="{{ part.status }}">{{ part.status }}{{ ": " if part.cause }}{{ part.cause }}
({{ "%.1f"|format(part.seconds) }} s; {{ "%.0f"|format(part.estimate) }} s were set aside)</p>
{% if part.rows %}
<table><tr>{% for column in part.rows[0] %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in part.rows %}
<tr>{% for value in row.values() %}<td>{{ value if value is string else "%.4g"|format(value) }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% endif %}
{% if part.trace %}<pre>{{ part.trace }}</pre>{% endif %}
{% endfor %}
</html>
"""


class Part(NamedTuple):
    """A part of a benchmark.

    Attributes:
        name: unique name.
        estimate: seconds that it is expected to take; it is not begun with less time left.
        run: yields its rows, of the same columns, as they are measured; values are texts and numbers.
    """

    name: str
    estimate: float
    run: Callable[[], Iterator[Row]]


class Outcome(NamedTuple):
    """What became of a part.

    Attributes:
        name: of the part.
        status: `DONE`, `FAILED` or `LEFT_OUT`.
        estimate: seconds that were set aside.
        seconds: that it took.
        rows: that it yielded, also before it failed.
        cause: why it failed or was left out, in a line.
        trace: where it failed.
    """

    name: str
    status: str
    estimate: float
    seconds: float
    rows: list[Row]
    cause: str = ""
    trace: str = ""


def run_part(part: Part, seconds_left: float, clock: Callable[[], float] = time.monotonic) -> Outcome:
    """Runs a part if there is time for it; its failure is an outcome like others, so that the next part can run."""
    if part.estimate > seconds_left:
        cause = f"{part.estimate:.0f} s are needed, {max(seconds_left, 0.0):.0f} s are left"
        return Outcome(part.name, LEFT_OUT, part.estimate, 0.0, [], cause)
    began, rows = clock(), []
    try:
        for row in part.run():
            rows.append(row)
    except Exception as error:  # whatever it is, it is shown and kept, and the exit code tells of it
        lines = str(error).splitlines()
        cause = f"{type(error).__name__}: {lines[0] if lines else ''}"
        return Outcome(part.name, FAILED, part.estimate, clock() - began, rows, cause, traceback.format_exc())
    return Outcome(part.name, DONE, part.estimate, clock() - began, rows)


def run_parts(
    parts: Sequence[Part],
    minutes: float,
    out: pathlib.Path,
    title: str,
    console: Console,
    clock: Callable[[], float] = time.monotonic,
) -> list[Outcome]:
    """Runs parts in their order; after each, prints what came of it, and writes what there is so far.

    Args:
        parts: parts, the most important first.
        minutes: for all of them. A part that does not fit into what is left is left out, and later ones may still fit.
        out: folder for `results.csv` (a line for each value), `results.json` and `index.html`.
        title: of the page.
        console: that tables are printed on.
        clock: seconds that only grow.
    """
    began, outcomes = clock(), []
    for part in parts:
        outcome = run_part(part, began + 60.0 * minutes - clock(), clock)
        outcomes.append(outcome)
        write(outcomes, out, title)
        if outcome.rows:
            print_rows(outcome.rows, console, f"{outcome.name} ({outcome.seconds:.1f} s)")
        if outcome.status != DONE:
            style = "bold red" if outcome.status == FAILED else "bold"
            console.print(f"{outcome.name}: {outcome.status}. {outcome.cause}", style=style)
    return outcomes


def write(outcomes: Sequence[Outcome], out: pathlib.Path, title: str) -> None:
    """Writes `results.csv`, `results.json` and `index.html`."""
    out.mkdir(parents=True, exist_ok=True)
    fields = [outcome._asdict() for outcome in outcomes]
    (out / "results.json").write_text(json.dumps(fields, indent=1))
    with (out / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("part", "status", "row", "column", "value"))
        for outcome in outcomes:
            lines = [(number, *cell) for number, row in enumerate(outcome.rows) for cell in row.items()]
            for line in lines or [("", "cause", outcome.cause)]:
                writer.writerow((outcome.name, outcome.status, *line))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    (out / "index.html").write_text(environment.from_string(PAGE).render(title=title, parts=fields))
