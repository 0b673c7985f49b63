"""The benchmark of an accelerator: parts that end in time and fail alone, programs and traces read, every line run."""

import csv
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("torch", reason="the torch extra is not installed")
from benchmarks import accelerator, profiling
from benchmarks import accelerator_search as searches
from benchmarks import accelerator_training as steps
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
    assert profiling.bytes_moved(compiled.as_text()) == pytest.approx(costs["bytes accessed"], rel=0.05)


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


def test_the_parts_that_are_asked_for_are_run_and_no_others(tmp_path, capsys):
    assert accelerator.main(["--small", "--only", "device", "--only", "ceilings", "--out", str(tmp_path)]) == 0
    assert [o["name"] for o in json.loads((tmp_path / "results.json").read_text())] == ["device", "ceilings"]
    with pytest.raises(SystemExit):
        accelerator.main(["--small", "--only", "nothing"])
    assert "no part is called nothing; there are: device; ceilings; " in capsys.readouterr().err


@pytest.fixture(scope="module")
def case():
    return steps.Case("official", 16, 1, "float32", tiny=True)


def rows_of(run):
    """The rows of a part; all numbers in them are finite."""
    rows = list(run)
    numbers = [value for row in rows for value in row.values() if not isinstance(value, str)]
    assert np.isfinite(numbers).all()
    return rows


def test_a_step_is_timed_beside_pytorchs(case):
    (row,) = rows_of(steps.beside_torch(case))
    assert row["times faster"] == pytest.approx(row["PyTorch, s"] / row["ours, s"])
    assert row["hours for 200,000"] == pytest.approx(row["ours, s"] * 200_000 / 3600)
    assert 0.0 < row["roofline share"] < 1.0


def test_a_step_is_taken_apart(case):
    (row,) = rows_of(steps.busy([case]))
    assert 0.0 < row["busy"] <= 1.0
    assert row["named"] == pytest.approx(1.0)


def test_several_steps_are_one_call(case):
    (row,) = rows_of(steps.several_a_call([case], 2))
    assert row["times faster"] == pytest.approx(row["one a call, s"] / row["2 a call, s"])


def test_memory_is_planned_with_and_without_passes_computed_anew(case):
    rows = rows_of(steps.memory([case]))
    assert [row["remat"] for row in rows] == ["no", "yes"]
    assert all(row["step, GB"] > 0.0 for row in rows)


def test_losses_are_those_of_a_cpu(monkeypatch):
    (row,) = rows_of(searches.losses_agree(16, tiny=True))
    assert row["differ at most by"] <= searches.LOSSES


def test_the_search_is_timed_beside_pytorchs():
    rows = rows_of(searches.search_digits(tiny=True))
    assert [row["way"] for row in rows] == ["ours", "ours, one at a time", "PyTorch, fine scan", "PyTorch, bisection"]
    assert [row["found by one only"] for row in rows] == [0, 0, 0, 0]
    assert len(rows_of(searches.search_large(8, tiny=True))) == 4


def test_the_search_is_timed_over_its_slots():
    rows = list(searches.slots((8,), tiny=True))
    assert [(row["search"], row["slots"]) for row in rows] == [("digits, 32x32", 2), ("8x8", 2)]


def test_explanations_that_differ_between_devices_are_a_failure(monkeypatch):
    assert len(rows_of(searches.explanations_agree(tiny=True))) == 2
    monkeypatch.setattr(searches, "largest_difference", lambda one, other: 0.1)
    with pytest.raises(searches.Disagreement, match=r"shifts by 0\.1"):
        list(searches.explanations_agree(tiny=True))
