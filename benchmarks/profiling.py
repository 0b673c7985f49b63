"""Where a training step's time goes: a trace of some calls, summed up by the model's parts, beside the roofline.

    python -m benchmarks.profiling --config mnist                       # two minutes, most of them to compile
    python -m benchmarks.profiling --config chest_xray_64 --steps 5     # images of the config's size, random like all

Builds the step of a config with an untrained classifier, and calls it with one batch of random images. Writes the trace
and `parts.csv` to a folder. `train.py --profile=N` leaves a trace of a run's own steps, without the table.
"""

import argparse
import pathlib
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from benchmarks.rows import write_rows
from cae_jax.classifiers import make_classifier, make_predict
from cae_jax.cli.console import cache_folder
from cae_jax.config.check import check_settings
from cae_jax.config.reading import Config, find_config, load_config
from cae_jax.parallel.sharding import data_mesh, split_batch
from cae_jax.training.build import Trainer, build_trainer

PARTS = {  # by what names it in a compiled operation's path
    "class encoder": "class_encoder",
    "individual encoder": "individual_encoder",
    "decoder": "decoder",
    "discriminator": "Discriminator",
}
REST = "losses, optimizers, average"
UNTIMED = 3  # calls before the trace: the first ones compile and load
HOLDS_OTHERS = {"while", "call", "conditional", "async-start"}  # their time is that of the operations in them
MOVES_NOTHING = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "iota"}


class Ceiling(NamedTuple):
    """What this machine does at most, measured: floating-point operations and bytes, each a second."""

    operations: float
    bytes: float


def measure_ceiling(side: int = 4096, dtype: str = "float32", calls: int = 1) -> Ceiling:
    """Times the product of two matrices and the copy of four, the best of three each.

    Args:
        side: rows and columns of the matrices.
        dtype: of their random numbers; float32 is multiplied as `jax.default_matmul_precision` says.
        calls: that follow each other in each of the three, so that an accelerator does not wait for the host.
    """
    x = jax.random.normal(jax.random.key(0), (side, side), dtype)

    copied = jnp.zeros((4, side, side), np.float32)  # more than caches hold, and than a call's start takes

    def seconds(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> float:
        compiled = jax.jit(function)
        jax.block_until_ready(compiled(x))
        found = []
        for _ in range(3):
            began = time.perf_counter()
            jax.block_until_ready([compiled(x) for _ in range(calls)])
            found.append((time.perf_counter() - began) / calls)
        return min(found)

    return Ceiling(2 * side**3 / seconds(lambda x: x @ x, x), 2 * copied.nbytes / seconds(lambda x: x + 1, copied))


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


def bytes_moved(compiled: str) -> float:
    """The bytes that a compiled program's operations read and write, as their shapes tell.

    What the compiler itself counts leaves out operations that a library computes, convolutions on a GPU among them.

    Args:
        compiled: its HLO text.
    """
    inner = set(re.findall(r" fusion\(.*?calls=%?([\w.\-]+)", compiled))  # what these hold is in registers
    inner |= set(re.findall(r"(?<! call)\([^\n]*to_apply=%?([\w.\-]+)", compiled))
    total, sizes, outside = 0.0, dict[str, float](), True
    for line in compiled.splitlines():
        if computation := re.match(r"(?:ENTRY )?%?([\w.\-]+) .*\{$", line):
            outside, sizes = computation[1] not in inner, {}
        found = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)", line)
        if not found or not outside:
            continue
        name, shape, operation, rest = found.groups()
        sizes[name] = _bytes_of(shape, operation)
        if operation not in HOLDS_OTHERS | MOVES_NOTHING and not operation.endswith("-done"):
            operands = re.findall(r"%([\w.\-]+)", rest.split("), ")[0])
            total += sizes[name] + sum(sizes.get(operand, 0.0) for operand in operands)
    return total


def _bytes_of(shape: str, operation: str) -> float:
    """The bytes of an array or of a tuple of them; a library's workspace, bytes without meaning, is not counted."""
    total = 0.0
    for kind, sides in re.findall(r"([a-z]+\d*)\w*\[([\d,]*)\]", shape):
        if operation == "custom-call" and kind == "u8":
            continue
        bits = int(re.sub(r"\D", "", kind) or 8)  # pred has none
        total += bits / 8 * np.prod([int(side) for side in sides.split(",") if side])
    return total


class TraceUnread(Exception):
    """A trace does not hold what is looked for in it."""


class Event(NamedTuple):
    """An operation that ran; times in nanoseconds."""

    name: str
    start: float
    duration: float


def _newest_trace(folder: pathlib.Path) -> Any:
    newest = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    return jax.profiler.ProfileData.from_file(str(newest))


def device_events(folder: pathlib.Path) -> list[Event]:
    """What the first accelerator did in the newest trace of a folder, copies included.

    An event has the name of its operation where the trace knows it, else that of the kernel.

    Raises:
        TraceUnread: if the trace has no accelerator, or nothing in it; the message lists what it has.
    """
    planes = list(_newest_trace(folder).planes)
    devices = [plane for plane in planes if re.match(r"/device:(GPU|TPU)", plane.name)]
    events = [
        Event(str(dict(event.stats).get("hlo_op", event.name)), event.start_ns, event.duration_ns)
        for plane in devices[:1]
        for line in plane.lines
        if line.name.startswith("Stream") or line.name == "XLA Ops"
        for event in line.events
    ]
    if not events:
        seen = [f"{plane.name} ({', '.join(line.name for line in plane.lines)})" for plane in devices or planes]
        raise TraceUnread(f"no stream of an accelerator with events in the trace; it has {'; '.join(seen)}")
    return events


def traced_events(folder: pathlib.Path, module: str) -> Iterator[Event]:
    """The operations of one compiled program in the newest trace of a folder."""
    for plane in _newest_trace(folder).planes:
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                if "hlo_op" in stats and stats.get("hlo_module") == module:
                    yield Event(str(stats["hlo_op"]), event.start_ns, event.duration_ns)


def busy_time(events: list[Event]) -> float:
    """The nanoseconds in which at least one event ran."""
    ordered = sorted(events, key=lambda event: event.start)
    end = ordered[0].start
    busy = 0.0
    for event in ordered:
        busy += max(event.start + event.duration - max(end, event.start), 0.0)
        end = max(end, event.start + event.duration)
    return busy


def busy_share(events: list[Event]) -> float:
    """The share of the time from the first event to the end of the last in which at least one ran."""
    whole = max(event.start + event.duration for event in events) - min(event.start for event in events)
    return busy_time(events) / whole


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


def time_steps(step: Any, state: Any, batch: Any, count: int, folder: pathlib.Path) -> float:
    """Traces some calls of a compiled step that follow each other, once it is warm; the seconds that a call takes.

    Args:
        step: `(state, batch) -> (state, terms)`.
        state: of the first call.
        batch: of every call.
        count: calls to trace.
        folder: where the trace is written.
    """
    for _ in range(UNTIMED):
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    with jax.profiler.trace(folder):
        began = time.perf_counter()
        for _ in range(count):
            state, _ = step(state, batch)
        jax.block_until_ready(state)
        return (time.perf_counter() - began) / count


def profile(step: Any, state: Any, batch: Any, count: int, folder: pathlib.Path, console: Console) -> None:
    """Traces calls of a step, see `time_steps`; writes their time by part, and prints it beside the roofline."""
    compiled = step.lower(state, batch).compile()
    text, costs = compiled.as_text(), compiled.cost_analysis()
    seconds = time_steps(compiled, state, batch, count, folder)
    paths = operation_paths(text)
    events = [event for event in traced_events(folder, text.split(",")[0].split()[1]) if event.name in paths]
    times = time_by_part(events, paths)
    total = sum(times.values())
    rows = []
    for part in (*PARTS, REST):
        forward, gradient = (times[part, of_gradient] / total for of_gradient in (False, True))
        rows.append({"part": part, "forward": forward, "gradient": gradient})
    write_rows(rows, folder / "parts.csv", console, f"where the time of {count} calls went")
    ceiling = measure_ceiling()
    operations, moved = float(costs["flops"]), float(costs["bytes accessed"])
    console.print(
        f"a call: {seconds:.4f} s, in {busy_share(events):.1%} of which something ran; "
        f"{waiting_share(events, count):.1%} went by between calls. "
        f"{operations / 1e9:.1f} GFLOP take {operations / ceiling.operations:.4f} s at the "
        f"{ceiling.operations / 1e9:.0f} GFLOP/s of a matrix product here; {moved / 1e9:.2f} GB, as the compiler "
        f"counts what each operation reads and writes, take {moved / ceiling.bytes:.4f} s at the "
        f"{ceiling.bytes / 1e9:.1f} GB/s of a copy. The trace, for TensorBoard or Perfetto: {folder}",
        highlight=False,
    )


def random_batch(pairs: int, image_shape: tuple[int, int, int], num_classes: int) -> dict[str, np.ndarray]:
    """Pairs of random images of two classes each."""
    rng = np.random.default_rng(0)
    labels = np.arange(2 * pairs, dtype=np.int32).reshape(pairs, 2) % num_classes
    return {"images": rng.integers(0, 256, (pairs, 2, *image_shape), np.uint8), "labels": labels}


def build_untrained(config: Config, mesh: Mesh, image_shape: tuple[int, int, int], num_classes: int) -> Trainer:
    """A config's step, with a classifier of its architecture that has learned nothing."""
    network = make_classifier(config.classifier.architecture, num_classes)
    params = network.init(jax.random.key(0), jnp.zeros((1, *image_shape)))["params"]
    return build_trainer(config, mesh, image_shape, num_classes, make_predict(network, params))


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="mnist", metavar="FILE", help="a training config, or a shipped one's name")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="calls of the step to trace (20)")
    parser.add_argument("--side", type=int, default=0, metavar="N", help="pixels of an image's side (data.size, or 28)")
    parser.add_argument("--channels", type=int, default=0, help="of an image (data.channels, or 1)")
    parser.add_argument("--classes", type=int, default=10, metavar="K", help="classes of the classifier (10)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/profile"), metavar="DIR")
    options = parser.parse_args()
    console = Console()
    jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    config = check_settings(load_config(find_config(options.config)))
    side = options.side or max(config.data.size) or 28
    shape = side, side, options.channels or config.data.channels or 1
    trainer = build_untrained(config, data_mesh(), shape, options.classes)
    batch = split_batch(data_mesh(), random_batch(config.train.batch_size, shape, options.classes))
    profile(trainer.step, trainer.init(), batch, options.steps, options.out, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
