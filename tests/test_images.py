"""Ranges and padding of images, there and back, and computing in batches and threads."""

import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.images import from_model, padded_side, to_model, to_uint8, to_unit
from cae_jax.parallel.batching import (
    few_rows,
    first_call_alone,
    map_batches,
    one_at_a_time,
    parallel_calls,
    rows_of_a_call,
)


@pytest.mark.parametrize(
    ("side", "stride", "padded"), [(28, 8, 32), (32, 8, 32), (1, 16, 16), (33, 1, 33), (17, 16, 32)]
)
def test_a_padded_side_is_the_next_multiple(side, stride, padded):
    assert padded_side(side, stride) == padded


FLOATS = [jnp.float32, jnp.bfloat16, jnp.float16]


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_pass_as_float32(dtype):
    unit = to_unit(jnp.asarray([0.0, 0.5, 1.0], dtype))
    assert unit.dtype == jnp.float32
    np.testing.assert_array_equal(unit, [0.0, 0.5, 1.0])


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("dtype", FLOATS[1:])
def test_short_floats_pass_as_float32_without_implicit_promotion(dtype):
    assert to_unit(jnp.asarray([0.0, 0.5, 1.0], dtype)).dtype == jnp.float32


@pytest.mark.usefixtures("strict")
def test_uint8_becomes_zero_to_one_and_comes_back():
    levels = np.arange(256, dtype=np.uint8)
    unit = to_unit(jnp.asarray(levels))
    np.testing.assert_allclose(unit, np.arange(256) / 255, atol=1e-7)
    np.testing.assert_array_equal(to_uint8(np.asarray(unit)), levels)


def test_uint8_rounds_and_clips():
    np.testing.assert_array_equal(to_uint8(np.asarray([-1.0, 0.001, 0.003, 0.999, 7.0])), [0, 0, 1, 255, 255])


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("size", [(28, 28), (5, 8), (9, 3)])
@pytest.mark.parametrize("leading", [(2,), (3, 2)])
def test_images_are_padded_with_their_edges_and_come_back(size, leading):
    images = np.random.default_rng(0).random((*leading, *size, 2)).astype(np.float32)
    padded = to_model(jnp.asarray(images), 8)
    height, width = (-(-side // 8) * 8 for side in size)
    assert padded.shape == (*leading, height, width, 2)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    rows = np.clip(np.arange(height) - top, 0, size[0] - 1)
    columns = np.clip(np.arange(width) - left, 0, size[1] - 1)
    np.testing.assert_allclose(padded, (2 * images - 1)[..., rows[:, None], columns, :], atol=1e-6)
    np.testing.assert_allclose(from_model(padded, size), images, atol=1e-6)


@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_batches_are_of_one_shape_and_no_row_is_lost_or_doubled(count):
    shapes = []

    @jax.jit
    def function(x, y):
        shapes.append(x.shape)
        return {"sum": x + y, "pair": (x * 2, y)}

    x = np.arange(count, dtype=np.float32)
    result = map_batches(function, x, 10 * x, batch_size=4)
    np.testing.assert_array_equal(result["sum"], 11 * x)
    np.testing.assert_array_equal(result["pair"][0], 2 * x)
    assert shapes == [(4,)]
    assert isinstance(result["sum"], np.ndarray)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        map_batches(lambda x: x, np.zeros((0, 2)))


PATIENCE = 20.0  # seconds that a thread waits for another one, which comes at once or never


@pytest.mark.parametrize("calls", [2, 4, 40])
def test_threads_give_the_same_in_order_however_long_each_takes(calls):
    pauses = iter(np.random.default_rng(0).uniform(0, 0.02, 100))

    def function(x, y):
        time.sleep(next(pauses))
        return {"sum": x + y, "pair": (2 * x, y)}

    x = np.random.default_rng(1).normal(size=(37, 3))
    alone, threaded = (map_batches(function, x, x**2, batch_size=4, calls=count) for count in (1, calls))
    assert threaded["sum"].shape == (37, 3)
    jax.tree.map(np.testing.assert_array_equal, threaded, alone)


def test_as_many_calls_are_under_way_as_asked_for():
    inside, most = threading.Barrier(3), []
    counting, entered = threading.Lock(), [0]

    def function(x):
        with counting:
            entered[0] += 1
            most.append(entered[0])
        inside.wait(PATIENCE)
        with counting:
            entered[0] -= 1
        inside.wait(PATIENCE)
        return x

    rows = np.arange(12)
    np.testing.assert_array_equal(map_batches(function, rows, batch_size=2, calls=3), rows)
    assert sorted(most) == [1, 1, 2, 2, 3, 3]


def test_a_function_that_bears_one_call_at_a_time_gets_one_at_a_time():
    inside = threading.Lock()

    def function(x):
        assert inside.acquire(blocking=False)
        time.sleep(0.002)
        inside.release()
        return x

    rows = np.arange(40)
    np.testing.assert_array_equal(map_batches(one_at_a_time(function), rows, batch_size=2, calls=8), rows)


@pytest.mark.parametrize("count", [3, 8])
def test_without_threads_asked_for_or_needed_there_are_none(count):
    threads = set()

    def function(x):
        threads.add(threading.current_thread())
        return x

    map_batches(function, np.arange(count), batch_size=4, calls=4 if count == 3 else 1)
    assert threads == {threading.current_thread()}


def test_an_error_in_a_thread_comes_out():
    def function(x):
        if 13 in x:
            raise KeyError("thirteen")
        return x

    with pytest.raises(KeyError, match="thirteen"):
        map_batches(function, np.arange(40), batch_size=4, calls=4)


def test_a_cpu_has_a_call_a_core_and_anything_else_one(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    for devices, calls in ((1, 12), (4, 3), (16, 1)):
        monkeypatch.setattr(jax, "local_device_count", lambda devices=devices: devices)
        assert parallel_calls() == calls
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert parallel_calls() == 1


def test_an_accelerator_takes_more_rows_a_call_and_each_one_as_many(monkeypatch):
    assert [rows_of_a_call(side, side) for side in (28, 64, 128, 2000)] == [64, 64, 16, 2]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert [rows_of_a_call(side, side) for side in (28, 64, 128, 256, 9000)] == [1024, 1024, 256, 64, 2]
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    assert rows_of_a_call(256, 256) == 256
    assert few_rows(64, 64) == 64  # what any device has room for


def in_threads(function, count):
    """Results or errors of calls at once with 0 to `count` - 1."""
    ready = threading.Barrier(count)

    def call(number):
        ready.wait(PATIENCE)
        return function(number)

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(call, number) for number in range(count)]
    return [future.exception() or future.result() for future in futures]


def test_the_first_call_is_alone_and_the_others_are_at_once():
    entries, at_first, together = itertools.count(), [], threading.Barrier(4)

    @first_call_alone
    def function(x):
        if next(entries) == 0:
            time.sleep(0.1)
            at_first.append(next(entries))
        else:
            together.wait(PATIENCE)
        return 2 * x

    assert in_threads(function, 5) == [0, 2, 4, 6, 8]
    assert at_first == [1]
    assert next(entries) == 6


def test_after_a_first_call_that_fails_the_next_one_is_first():
    entries, at_second, together = itertools.count(), [], threading.Barrier(3)

    @first_call_alone
    def function(x):
        entry = next(entries)
        if entry == 0:
            time.sleep(0.1)
            raise KeyError("the first")
        if entry == 1:
            time.sleep(0.1)
            at_second.append(next(entries))
        else:
            together.wait(PATIENCE)
        return x

    results = in_threads(function, 5)
    assert at_second == [2]
    assert sum(isinstance(result, KeyError) for result in results) == 1
    assert all(result == row or isinstance(result, KeyError) for row, result in enumerate(results))


def test_a_jitted_function_is_traced_once_by_all_threads():
    traced = []

    @jax.jit
    def function(x, *, factor):
        traced.append(x.shape)
        time.sleep(0.05)
        return factor * x

    alone = first_call_alone(function)
    rows = np.arange(20, dtype=np.float32)
    result = map_batches(lambda x: alone(x, factor=3.0), rows, batch_size=4, calls=5)
    np.testing.assert_array_equal(result, 3 * rows)
    assert traced == [(4,)]
