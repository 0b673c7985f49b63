"""Where a step's time goes: what is read out of a compiled program and a trace, and the table of a small one."""

import csv
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

from benchmarks.profiling import (
    REST,
    Event,
    busy_share,
    measure_ceiling,
    operation_paths,
    part_of,
    profile,
    random_batch,
    time_by_part,
    waiting_share,
)
from cae_jax.training.loop import WARM, traced
from cae_jax.training.monitor import Monitor

PROGRAM = """HloModule jit_steps, is_scheduled=true
%inner (param.1: f32[4]) -> f32[4] {
  ROOT %add.1 = f32[4]{0} add(%param.1, %param.1), metadata={op_name="jit(steps)/add" stack_frame_id=1}
}
ENTRY %main {
  %conv.7 = f32[2,3]{1,0} convolution(%a, %b), metadata={op_name="jit(steps)/jvp(CAE.decode)/decoder/up_0/conv"}
  %fusion.2 = (f32[4]{0}, s32[]) fusion(%conv.7), calls=%inner, metadata={op_name="jit(steps)/mul"}
  %while.3 = (f32[4]{0}, s32[]) while(%fusion.2), metadata={op_name="jit(steps)/while"}
  copy.9 = f32[4]{0} copy(%while.3)
}
"""


def test_a_program_names_the_paths_of_operations_that_do_not_only_hold_others():
    assert operation_paths(PROGRAM) == {
        "add.1": "jit(steps)/add",
        "conv.7": "jit(steps)/jvp(CAE.decode)/decoder/up_0/conv",
        "fusion.2": "jit(steps)/mul",
        "copy.9": "",
    }


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("jit(steps)/jvp(CAE.decode)/decoder/up_0/conv", ("decoder", False)),
        ("jit(steps)/transpose(jvp(CAE.encode))/class_encoder/mul", ("class encoder", True)),
        ("jit(steps)/jvp(CAE.encode)/individual_encoder/jit(relu)/max", ("individual encoder", False)),
        ("jit(steps)/transpose(jvp(transpose(jvp(Discriminator))))/block_0/conv", ("discriminator", True)),
        ("jit(steps)/sqrt", (REST, False)),
        ("", (REST, False)),
    ],
)
def test_an_operation_belongs_to_a_part(path, part):
    assert part_of(path) == part


def test_time_is_summed_by_part_and_counted_once_where_operations_overlap():
    events = [Event("conv.7", 0.0, 4.0), Event("fusion.2", 2.0, 4.0), Event("conv.7", 10.0, 2.0), Event("x", 3.0, 1.0)]
    times = time_by_part(events, operation_paths(PROGRAM))
    assert times == {("decoder", False): 6.0, (REST, False): 4.0}
    assert busy_share(events) == pytest.approx(8.0 / 12.0)


def test_what_goes_by_between_calls_is_not_what_goes_by_within_them():
    first = [Event("conv.7", 0.0, 4.0), Event("fusion.2", 6.0, 2.0)]
    second = [Event("fusion.2", 15.0, 2.0), Event("conv.7", 11.0, 9.0)]
    assert waiting_share([*second, *first], 2) == pytest.approx(3.0 / 20.0)
    assert waiting_share(first, 1) == 0.0


def test_the_ceiling_is_that_of_no_slow_machine():
    ceiling = measure_ceiling(side=256)
    assert ceiling.operations > 1e7
    assert ceiling.bytes > 1e6


def test_a_profile_traces_the_calls_that_it_was_asked_for(tmp_path):
    @jax.jit
    def step(state, batch):
        return jnp.tanh(state @ batch["x"]) @ state, state.sum()

    console = Console(record=True, width=250)
    profile(step, jnp.ones((200, 200)), {"x": jnp.ones((200, 200))}, 2, tmp_path, console)
    with (tmp_path / "parts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["part"] for row in rows] == ["class encoder", "individual encoder", "decoder", "discriminator", REST]
    assert float(rows[-1]["forward"]) == pytest.approx(1.0)
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == 1
    text = console.export_text()
    assert "where the time of 2 calls went" in text
    assert "went by between calls" in text


def test_a_random_batch_has_pairs_of_two_classes():
    batch = random_batch(3, (8, 4, 1), 5)
    assert batch["images"].shape == (3, 2, 8, 4, 1)
    assert batch["labels"].tolist() == [[0, 1], [2, 3], [4, 0]]


def test_training_traces_the_steps_that_it_was_asked_for(tmp_path):
    seen, settled = [], []

    class Counting(Monitor):
        """Notes when it is asked to settle."""

        def __init__(self):
            pass

        def settle(self):
            settled.append(len(seen))

    console = Console(record=True, width=250)
    for batch in traced(iter(range(WARM + 4)), 2, Counting(), tmp_path, console):
        assert (len(list(tmp_path.iterdir())) > 0) == (batch >= WARM + 2)
        seen.append(batch)
    assert seen == list(range(WARM + 4))
    assert settled == [WARM, WARM + 2]
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == len(list(tmp_path.rglob("*.trace.json.gz"))) == 1
    assert f"a trace of 2 steps is in {tmp_path}" in console.export_text()


@pytest.mark.parametrize(
    ("left", "said"), [(WARM + 1, "a trace of 1 step is in"), (WARM, "there is no trace"), (0, "there is no trace")]
)
def test_a_trace_of_fewer_steps_than_asked_for_says_so(tmp_path, left, said):
    console = Console(record=True, width=250)
    assert len(list(traced(iter(range(left)), 5, Mock(spec=Monitor), tmp_path, console))) == left
    assert said in console.export_text()
