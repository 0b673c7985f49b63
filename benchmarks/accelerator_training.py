"""Parts of `benchmarks.accelerator`: the device, its ceilings, training steps beside PyTorch's on the same device."""

import contextlib
import functools
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import torch

from benchmarks.parts import Row
from benchmarks.profiling import (
    PARTS,
    REST,
    Ceiling,
    TraceUnread,
    build_untrained,
    busy_time,
    bytes_moved,
    device_events,
    measure_ceiling,
    operation_paths,
    time_by_part,
    time_steps,
    traced_events,
)
from benchmarks.torch_recipe import beside_jax
from benchmarks.train_speed import for_torch, make_batch, published
from cae_jax.config import presets
from cae_jax.config.reading import Config, apply_overrides
from cae_jax.parallel.sharding import data_mesh, split_batch
from cae_jax.training.build import Trainer
from cae_jax.workdir.record import versions

PRECISIONS = {  # by name: JAX's name of how float32 is multiplied, and the networks' type
    "float32": ("highest", "float32"),
    "TF32": ("tensorfloat32", "float32"),
    "bfloat16": ("tensorfloat32", "bfloat16"),
}
PUBLISHED_STEPS = 200_000
TINY = {
    "model.width": "4",
    "model.class_width": "4",
    "model.residual_blocks": "1",
    "model.mlp_width": "8",
    "model.class_downsamplings": "1",
    "model.individual_downsamplings": "1",
    "model.stem_kernel": "3",
    "model.upsample_kernel": "3",
    "model.output_kernel": "3",
    "discriminator.width": "4",
    "discriminator.downsamplings": "1",
    "discriminator.residual_blocks": "1",
    "discriminator.hidden": "8",
    "train.warmup_steps": "0",
}


@contextlib.contextmanager
def multiplying(precision: str) -> Iterator[None]:
    """JAX and PyTorch multiply float32 alike: in TF32 for a precision of that name, else in full; then as before."""
    # Not by `fp32_precision`: with a convolution's own, PyTorch refuses to export anything later in this process.
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = precision == "TF32"
        with jax.default_matmul_precision(PRECISIONS[precision][0]):
            yield
    finally:
        for switch, allowed in zip(switches, before, strict=True):
            switch.allow_tf32 = allowed


class Case(NamedTuple):
    """A training step to measure.

    Attributes:
        preset: name of one in `presets`.
        side: height and width of the images.
        pairs: of a step.
        precision: a key of `PRECISIONS`.
        tiny: whether networks are as small as they can be, to try a line and not to measure it.
        remat: the config's `train.remat`.
    """

    preset: str
    side: int
    pairs: int
    precision: str
    tiny: bool
    remat: bool = False

    @property
    def label(self) -> Row:
        """The first columns of a row."""
        sizes = f"{self.preset} {self.side}x{self.side}"
        return {"step": sizes, "pairs": self.pairs, "precision": self.precision}

    @property
    def config(self) -> Config:
        """The preset, changed."""
        dtype = PRECISIONS[self.precision][1]
        changes = {"model.dtype": dtype, "discriminator.dtype": dtype, "train.remat": str(self.remat)}
        return apply_overrides(getattr(presets, self.preset)(), changes | (TINY if self.tiny else {}))

    @property
    def batch(self) -> dict[str, np.ndarray]:
        """Pairs of images."""
        return make_batch(self.side, 3, self.pairs, 0)


class Step(NamedTuple):
    """A compiled step.

    Attributes:
        trainer: that it is of.
        lowered: the program, before it is compiled.
        compiled: `(state, batch) -> (state, terms)`, for one batch size.
        compile_seconds: that tracing and compiling took.
        bytes: that its operations read and write.
    """

    trainer: Trainer
    lowered: Any
    compiled: Any
    compile_seconds: float
    bytes: float


@functools.cache
def compile_step(case: Case) -> Step:
    """Compiles a step for the default device; later parts get the same one."""
    trainer = build_untrained(case.config, data_mesh(jax.devices()[:1]), (case.side, case.side, 3), 2)
    began = time.perf_counter()
    with jax.default_matmul_precision(PRECISIONS[case.precision][0]):
        lowered = trainer.step.lower(trainer.shapes(), on_device(case))
        compiled = lowered.compile()
    seconds = time.perf_counter() - began
    return Step(trainer, lowered, compiled, seconds, bytes_moved(compiled.as_text()))


def operations_of(case: Case) -> float:
    """Floating-point operations of a step, counted of the program for a CPU: for GPUs JAX counts none.

    In bfloat16, where CPUs too convolve directly.
    """
    return _operations(case._replace(precision="bfloat16", remat=False))


@functools.cache
def _operations(case: Case) -> float:
    if jax.default_backend() == "cpu":
        lowered = compile_step(case).lowered
    else:
        mesh = data_mesh(jax.devices("cpu")[:1])
        trainer = build_untrained(case.config, mesh, (case.side, case.side, 3), 2)
        lowered = trainer.step.lower(trainer.shapes(), split_batch(mesh, case.batch))
    return float(lowered.cost_analysis()["flops"])


def on_device(case: Case) -> dict[str, jax.Array]:
    """A case's batch where its step takes it from."""
    return split_batch(data_mesh(jax.devices()[:1]), case.batch)


@functools.cache
def ceiling(precision: str, tiny: bool) -> Ceiling:
    """What the device does at most in a precision."""
    name, dtype = PRECISIONS[precision]
    with jax.default_matmul_precision(name):
        return measure_ceiling(256 if tiny else 8192, dtype, 1 if tiny else 10)


def device(tiny: bool) -> Iterator[Row]:
    """What computes."""
    first, beside = jax.devices()[0], beside_jax()
    memory = (first.memory_stats() or {}).get("bytes_limit", 0)
    name = torch.cuda.get_device_name(beside) if beside.type == "cuda" else "cpu"
    facts = {
        "JAX's device": f"{len(jax.devices())} {first.platform}: {first.device_kind}",
        "runtime": " ".join(first.client.platform_version.split()),
        "memory that JAX may take, GB": f"{memory / 1e9:.1f}" if memory else "not told",
        "PyTorch's device": f"{name}, PyTorch {torch.__version__}",
        "cores": str(os.cpu_count()),
    }
    yield from ({"what": what, "is": value} for what, value in (facts | versions()).items())


def ceilings(tiny: bool) -> Iterator[Row]:
    """A matrix product in each precision, and a copy."""
    for precision in PRECISIONS:
        found = ceiling(precision, tiny)
        yield {"precision": precision, "TFLOP/s": found.operations / 1e12, "copy, GB/s": found.bytes / 1e9}


def repeated(step: Callable[[], object], wait: Callable[[], object], seconds: float) -> Callable[[], float]:
    """A function that times as many steps in a row as fill some seconds; a call of it returns the seconds of one."""
    for _ in range(3 if seconds else 1):  # compile, choose algorithms, fill allocators
        step()
    wait()

    def time_of(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        return (time.perf_counter() - began) / count

    count = max(round(seconds / time_of(1)), 1) if seconds else 1
    return functools.partial(time_of, count)


def own_step(case: Case) -> tuple[Callable[[], None], Callable[[], object]]:
    """A function that takes our next step, and one that waits for it."""
    compiled, batch = compile_step(case), on_device(case)
    held = [compiled.trainer.init()]

    def step() -> None:
        held[0] = compiled.compiled(held[0], batch)[0]

    return step, lambda: jax.block_until_ready(held[0].step)


def torch_step(case: Case) -> tuple[Callable[[], None], Callable[[], object]]:
    """The same of the published recipe in eager PyTorch, from the same weights."""
    where, trainer = beside_jax(), compile_step(case).trainer
    torch.backends.cudnn.benchmark = True  # shapes stay the same: let it look for the fastest algorithms
    eager = published(trainer, case.config.discriminator.dropout, where, case.precision == "bfloat16")
    x, labels = for_torch(case.batch, trainer.networks.model.stride, where)
    wait = functools.partial(torch.cuda.synchronize, where) if where.type == "cuda" else lambda: None
    return lambda: eager(x, labels) and None, wait


def turns(sides: list[tuple[Callable[[], None], Callable[[], object]]], tiny: bool) -> list[float]:
    """Seconds of a step of each side, which take turns: medians of three."""
    timers = [repeated(step, wait, 0.0 if tiny else 1.0) for step, wait in sides]
    found = [[timer() for timer in timers] for _ in range(1 if tiny else 3)]
    return [statistics.median(times) for times in zip(*found, strict=True)]


def roofline(case: Case) -> tuple[float, str]:
    """Seconds that a step takes at least by the measured ceilings, and which of them says so."""
    step, most = compile_step(case), ceiling(case.precision, case.tiny)
    return max((operations_of(case) / most.operations, "operations"), (step.bytes / most.bytes, "bytes"))


def beside_torch(case: Case) -> Iterator[Row]:
    """Our step of the published recipe and PyTorch's."""
    with multiplying(case.precision):
        sides = [own_step(case), torch_step(case)]
        own, other = turns(sides, case.tiny)
    sides.clear()
    torch.cuda.empty_cache()  # the next part may need it; nothing without CUDA
    yield _row(case, own) | {"PyTorch, s": other, "times faster": other / own}


def by_itself(case: Case) -> Iterator[Row]:
    """Our step alone, of a preset whose networks the published recipe does not have."""
    (own,) = turns([own_step(case)], case.tiny)
    yield _row(case, own)


def _row(case: Case, own: float) -> Row:
    step, (least, bound) = compile_step(case), roofline(case)
    return case.label | {
        "ours, s": own,
        "images/s": 2 * case.pairs / own,
        "roofline share": least / own,
        "bound": bound,
        "GFLOP": operations_of(case) / 1e9,
        "GB": step.bytes / 1e9,
        "compile, s": step.compile_seconds,
        "hours for 200,000": own * PUBLISHED_STEPS / 3600,
    }


def busy(cases: list[Case]) -> Iterator[Row]:
    """The share of a step's time in which the device is busy, and the parts of the model that it is busy with.

    What runs is read from a trace, the time from steps that are not traced: to trace makes launches wait, not kernels.
    """
    for case in cases:
        step = compile_step(case)
        (alone,) = turns([own_step(case)], case.tiny)
        text, count = step.compiled.as_text(), 2 if case.tiny else 10
        paths = operation_paths(text)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            seconds = time_steps(step.compiled, step.trainer.init(), on_device(case), count, folder)
            try:
                on_host = jax.default_backend() == "cpu"
                module = text.split(",")[0].split()[1]
                events = list(traced_events(folder, module)) if on_host else device_events(folder)
                events = [event for event in events if event.name in paths or not on_host]  # no calls that hold others
                found = {"busy": min(busy_time(events) / 1e9 / count / alone, 1.0)}  # a traced CPU computes slower
            except TraceUnread as error:
                events, found = [], {"busy": f"not read: {error}"}
        times = time_by_part(events, paths)
        total = sum(event.duration for event in events)
        in_convolutions = sum(event.duration for event in events if "conv" in event.name)
        found |= {"kernels": len(events) / count, "convolutions": in_convolutions / total if total else 0.0}
        shares = {part: (times[part, False] + times[part, True]) / total if total else 0.0 for part in (*PARTS, REST)}
        yield case.label | {"s": alone, "s, traced": seconds} | found | shares | {"named": sum(shares.values())}


def several_a_call(cases: list[Case], count: int) -> Iterator[Row]:
    """What a step takes when several of them are one call, against one a call."""
    for case in cases:
        one, batch = compile_step(case), on_device(case)

        def many(state: Any, batch: Any, step: Any = one.trainer.step) -> Any:
            return jax.lax.scan(lambda state, _: (step(state, batch)[0], None), state, length=count)[0]

        with jax.default_matmul_precision(PRECISIONS[case.precision][0]):
            call = jax.jit(many, donate_argnums=0).lower(one.trainer.shapes(), batch).compile()
        held = [one.trainer.init()]

        def step(call: Any = call, held: list[Any] = held, batch: Any = batch) -> None:
            held[0] = call(held[0], batch)

        wait = functools.partial(lambda held: jax.block_until_ready(held[0].step), held)
        single, several = turns([own_step(case), (step, wait)], case.tiny)
        per_step = several / count
        yield case.label | {"one a call, s": single, f"{count} a call, s": per_step, "times faster": single / per_step}


def memory(cases: list[Case]) -> Iterator[Row]:
    """What the compiler sets aside for a step besides its state, with the generator's passes kept and computed anew."""
    for case in cases:
        for remat in (False, True):
            this = case._replace(remat=remat)
            step = compile_step(this)
            plan = step.compiled.memory_analysis()
            (seconds,) = turns([own_step(this)], case.tiny)
            sizes = {"state, GB": plan.output_size_in_bytes / 1e9, "step, GB": plan.temp_size_in_bytes / 1e9}
            yield case.label | {"remat": "yes" if remat else "no"} | sizes | {"ours, s": seconds}
