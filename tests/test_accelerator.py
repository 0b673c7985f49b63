"""The benchmark of an accelerator: parts that end in time and fail alone, programs and traces read, every line run."""

import csv
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from benchmarks import accelerator, profiling
from benchmarks.parts import DONE, FAILED, LEFT_OUT, Part, run_parts


class Clock:
    """Time that goes by only when a part says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        """Seconds."""
        return self.now

    def part(self, name, estimate, seconds, *values):
        """A part that takes some seconds for each of its rows; a value that is an error is raised."""

        def run():
            for value in values:
                self.now += seconds
                if isinstance(value, Exception):
                    raise value
                yield {"case": name, "value": value}

        return Part(name, estimate, run)


def run(clock, parts, minutes, out):
    console = Console(record=True, width=200)
    outcomes = run_parts(parts, minutes, out, "a <title>", console, clock)
    return {outcome.name: outcome for outcome in outcomes}, console.export_text()


def test_a_part_that_does_not_fit_is_left_out_and_a_later_one_that_does_is_run(tmp_path):
    clock = Clock()
    parts = [clock.part("one", 30, 20, 1.0, 2.0), clock.part("two", 30, 1, 3.0), clock.part("three", 20, 1, 4.0)]
    found, text = run(clock, parts, 1.0, tmp_path)
    assert {name: outcome.status for name, outcome in found.items()} == {"one": DONE, "two": LEFT_OUT, "three": DONE}
    assert found["one"].seconds == 40.0
    assert found["two"].cause == "30 s are needed, 20 s are left"
    assert "two: left out. 30 s are needed, 20 s are left" in text


def test_a_part_that_fails_keeps_its_rows_and_its_cause_and_stops_no_other(tmp_path):
    clock = Clock()
    failing = clock.part("one", 0, 1, 1.0, ValueError("no\nmemory"))
    found, text = run(clock, [failing, clock.part("two", 0, 1, 2.0)], 1.0, tmp_path)
    assert [outcome.status for outcome in found.values()] == [FAILED, DONE]
    assert found["one"].rows == [{"case": "one", "value": 1.0}]
    assert found["one"].cause == "ValueError: no"
    assert "no\nmemory" in found["one"].trace
    assert "one: failed. ValueError: no" in text


def test_what_there_is_is_written_after_every_part(tmp_path):
    clock = Clock()

    def look():
        assert json.loads((tmp_path / "results.json").read_text())[0]["rows"] == [{"case": "one", "value": 1.0}]
        yield {"case": "<two>", "value": 2.0}

    found, _ = run(clock, [clock.part("one", 0, 1, 1.0), Part("two", 0, look), Part("no", 90, look)], 1.0, tmp_path)
    assert found["two"].status == DONE
    with (tmp_path / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["part"], line["column"], line["value"]) for line in lines] == [
        ("one", "case", "one"),
        ("one", "value", "1.0"),
        ("two", "case", "<two>"),
        ("two", "value", "2.0"),
        ("no", "cause", "90 s are needed, 59 s are left"),
    ]
    page = (tmp_path / "index.html").read_text()
    assert "a &lt;title&gt;" in page
    assert "<td>&lt;two&gt;</td><td>2</td>" in page


def test_bytes_are_counted_of_operations_and_not_within_fusions():
    program = """HloModule jit_f
%fused (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %inside = f32[4]{0} add(%p, %p)
}
%region (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}
ENTRY %main (x: f32[4], k: bf16[8]) -> f32[] {
  %x = f32[4]{0} parameter(0)
  %k = bf16[8]{0} parameter(1)
  %fusion = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused
  %conv = (f32[4]{0}, u8[1000]{0}) custom-call(%fusion, %k), custom_call_target="__cudnn$convForward"
  %out = f32[4]{0} get-tuple-element(%conv), index=0
  ROOT %total = f32[] reduce(%out, %out), dimensions={0}, to_apply=%region
}
"""
    fusion, conv, total = 16 + 16, 16 + 16 + 16, 4 + 16 + 16
    assert profiling.bytes_moved(program) == fusion + conv + total


def test_bytes_are_those_that_the_compiler_counts():
    compiled = jax.jit(lambda x: (jnp.tanh(x @ x) @ x).sum(0)).lower(jnp.ones((64, 64))).compile()
    costs = compiled.cost_analysis()
    assert costs is not None
    counted = costs["bytes accessed"]
    assert profiling.bytes_moved(compiled.as_text()) == pytest.approx(counted, rel=0.05)


def trace_of(**planes):
    """A trace of planes with one line each: `(line, [(event, start, duration, its operation), ...])`."""

    def event(name, start, duration, operation):
        stats = [("hlo_op", operation)] if operation else []
        return SimpleNamespace(name=name, start_ns=start, duration_ns=duration, stats=stats)

    return SimpleNamespace(
        planes=[
            SimpleNamespace(name=name, lines=[SimpleNamespace(name=line, events=[event(*e) for e in events])])
            for name, (line, events) in planes.items()
        ]
    )


def test_the_busy_time_of_a_gpu_is_that_of_its_streams(monkeypatch, tmp_path):
    kernels = [("kernel", 0.0, 4.0, "fusion.1"), ("memcpy", 6.0, 2.0, "")]
    trace = trace_of(**{"/host:CPU": ("Stream", [("x", 0.0, 9.0, "x")]), "/device:GPU:0": ("Stream #13", kernels)})
    monkeypatch.setattr(profiling, "_newest_trace", lambda folder: trace)
    events = profiling.device_events(tmp_path)
    assert [event.name for event in events] == ["fusion.1", "memcpy"]
    assert profiling.busy_share(events) == 0.75


def test_a_trace_that_is_otherwise_says_what_it_has(monkeypatch, tmp_path):
    monkeypatch.setattr(profiling, "_newest_trace", lambda folder: trace_of(**{"/device:GPU:0": ("Lane 3", [])}))
    with pytest.raises(profiling.TraceUnread, match=r"/device:GPU:0 \(Lane 3\)"):
        profiling.device_events(tmp_path)


def test_without_an_accelerator_only_the_small_run_is_possible(capsys, tmp_path):
    assert accelerator.main(["--out", str(tmp_path / "out")]) == 1
    assert "--small tries every line on a CPU" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_every_line_runs_on_a_cpu(tmp_path, capsys):
    pytest.importorskip("torch", reason="the torch extra is not installed")
    assert accelerator.main(["--small", "--out", str(tmp_path)]) == 0, capsys.readouterr().out
    outcomes = {outcome["name"]: outcome for outcome in json.loads((tmp_path / "results.json").read_text())}
    assert {outcome["status"] for outcome in outcomes.values()} == {DONE}
    assert all(outcome["rows"] for outcome in outcomes.values())
    numbers = [value for o in outcomes.values() for row in o["rows"] for value in row.values() if value != str(value)]
    assert all(np.isfinite(value) for value in numbers)
