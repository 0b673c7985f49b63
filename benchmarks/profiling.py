"""Where a training step's time goes: a trace of some calls, summed up by the model's parts, beside the roofline."""

import csv
import pathlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

PARTS = {  # by what names it in a compiled operation's path
    "class encoder": "class_encoder",
    "individual encoder": "individual_encoder",
    "decoder": "decoder",
    "discriminator": "Discriminator",
}
REST = "losses, optimizers, average"
UNTIMED = 3  # calls before the trace: the first ones compile and load
HOLDS_OTHERS = {"while", "call", "conditional"}  # their time is that of the operations in them


class Ceiling(NamedTuple):
    """What this machine does at most, measured: floating-point operations and bytes, each a second."""

    operations: float
    bytes: float


def measure_ceiling(side: int = 4096) -> Ceiling:
    """Times a float32 product of two matrices and the copy of one, the best of three each."""
    x = jnp.ones((side, side))

    def seconds(function: Callable[[jax.Array], jax.Array]) -> float:
        compiled = jax.jit(function)
        jax.block_until_ready(compiled(x))
        found = []
        for _ in range(3):
            began = time.perf_counter()
            jax.block_until_ready(compiled(x))
            found.append(time.perf_counter() - began)
        return min(found)

    return Ceiling(2 * side**3 / seconds(lambda x: x @ x), 2 * x.nbytes / seconds(lambda x: x + 1))


def operation_paths(compiled: str) -> dict[str, str]:
    """The path in the program, by name, of a compiled program's operations that do not only hold others.

    Args:
        compiled: its HLO text.
    """
    paths = {}
    for line in compiled.splitlines():
        found = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = .*? ([a-z][\w\-]*)\(", line)
        if found and found[2] not in HOLDS_OTHERS:
            path = re.search(r'op_name="([^"]*)"', line)
            paths[found[1]] = path[1] if path else ""
    return paths


def part_of(path: str) -> tuple[str, bool]:
    """The part of the model that an operation's path leads to, and whether it is of a gradient."""
    names = re.split(r"[/()]", path)
    return next((part for part, name in PARTS.items() if name in names), REST), "transpose" in names


class Event(NamedTuple):
    """An operation that ran; times in nanoseconds."""

    name: str
    start: float
    duration: float


def traced_events(folder: pathlib.Path, module: str) -> Iterator[Event]:
    """The operations of one compiled program in the newest trace of a folder."""
    newest = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    for plane in jax.profiler.ProfileData.from_file(str(newest)).planes:
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                if "hlo_op" in stats and stats.get("hlo_module") == module:
                    yield Event(str(stats["hlo_op"]), event.start_ns, event.duration_ns)


def busy_share(events: list[Event]) -> float:
    """The share of the time from the first event to the end of the last in which at least one ran."""
    ordered = sorted(events, key=lambda event: event.start)
    end = ordered[0].start
    busy = 0.0
    for event in ordered:
        busy += max(event.start + event.duration - max(end, event.start), 0.0)
        end = max(end, event.start + event.duration)
    return busy / (end - ordered[0].start)


def waiting_share(events: list[Event], calls: int) -> float:
    """The share of the time that goes by between the last operation of a call and the first one of the next.

    Args:
        events: as many in every call.
        calls: that follow each other; one begins when the one before has ended.
    """
    ordered = sorted(events, key=lambda event: event.start)
    size = len(ordered) // calls
    starts = [ordered[call * size].start for call in range(calls)]
    ends = [
        max(event.start + event.duration for event in ordered[call * size : (call + 1) * size]) for call in range(calls)
    ]
    waits = sum(max(start - end, 0.0) for start, end in zip(starts[1:], ends[:-1], strict=True))
    return waits / (ends[-1] - starts[0])


def time_by_part(events: list[Event], paths: dict[str, str]) -> Counter[tuple[str, bool]]:
    """Nanoseconds by part of the model and whether of a gradient, summed over threads and devices."""
    found: Counter[tuple[str, bool]] = Counter()
    for event in events:
        if event.name in paths:
            found[part_of(paths[event.name])] += event.duration  # pyright: ignore[reportArgumentType]
    return found


class StepProfile:
    """Traces some calls of a run's compiled steps, once they are warm, then writes a table and says it.

    Used as `before(call)` and `after(call, state, batches)` around every call; it does nothing outside the traced ones.
    """

    def __init__(self, folder: pathlib.Path, calls: int, steps: Any, console: Console):
        """Takes the folder to write to, how many calls to trace (0: none), the compiled steps, and where to say it."""
        self._folder, self._calls, self._steps, self._console = folder, calls, steps, console
        self._began = 0.0

    def before(self, call: int, state: Any) -> None:
        """Begins the trace if this is the first call of it; calls are counted from 1."""
        if self._calls and call == UNTIMED + 1:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self._folder)
            self._began = time.perf_counter()

    def after(self, call: int, state: Any, batches: dict[str, jax.Array]) -> None:
        """Ends the trace if this was the last call of it, and reports."""
        if self._calls and call == UNTIMED + self._calls:
            jax.block_until_ready(state)
            seconds = (time.perf_counter() - self._began) / self._calls
            jax.profiler.stop_trace()
            self._report(seconds, self._steps.lower(state, batches).compile())

    def _report(self, seconds: float, compiled: Any) -> None:
        text, costs = compiled.as_text(), compiled.cost_analysis()
        paths = operation_paths(text)
        events = [event for event in traced_events(self._folder, text.split(",")[0].split()[1]) if event.name in paths]
        times = time_by_part(events, paths)
        total = sum(times.values())
        table = Table("part", "forward", "gradient", title=f"where the time of {self._calls} calls went")
        rows = []
        for part in (*PARTS, REST):
            shares = [times[part, gradient] / total for gradient in (False, True)]
            rows.append({"part": part, "forward": shares[0], "gradient": shares[1]})
            table.add_row(part, *(f"{share:.1%}" for share in shares))
        with (self._folder / "parts.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        self._console.print(table)
        ceiling = measure_ceiling()
        count, moved = float(costs["flops"]), float(costs["bytes accessed"])
        self._console.print(
            f"a call: {seconds:.4f} s, in {busy_share(events):.1%} of which something ran; "
            f"{waiting_share(events, self._calls):.1%} went by between calls. "
            f"{count / 1e9:.1f} GFLOP take {count / ceiling.operations:.4f} s at the {ceiling.operations / 1e9:.0f} "
            f"GFLOP/s of a matrix product here; {moved / 1e9:.2f} GB, as the compiler counts what each operation reads "
            f"and writes, take {moved / ceiling.bytes:.4f} s at the {ceiling.bytes / 1e9:.1f} GB/s of a copy. "
            f"The trace, for TensorBoard or Perfetto: {self._folder}",
            highlight=False,
        )
