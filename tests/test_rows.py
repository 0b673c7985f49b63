"""Rows of records: taken, joined, gathered when they are asked for, and run in batches of one shape."""

from typing import NamedTuple

import numpy as np
import pytest

from cae_jax.parallel.batching import map_batches
from cae_jax.parallel.rows import Picked, concatenate, count, take


class Record(NamedTuple):
    """Two arrays, one of which may be missing."""

    code: np.ndarray
    image: np.ndarray | None = None


WHOLE = Record(np.arange(10.0).reshape(5, 2), np.arange(5))


def test_rows_of_a_record_are_taken_and_joined_field_by_field():
    some = take(WHOLE, np.asarray([3, 0]))
    np.testing.assert_array_equal(some.code, [[6.0, 7.0], [0.0, 1.0]])
    np.testing.assert_array_equal(some.image, [3, 0])
    joined = concatenate([take(WHOLE, slice(2)), take(WHOLE, slice(2, None))])
    np.testing.assert_array_equal(joined.code, WHOLE.code)
    np.testing.assert_array_equal(joined.image, WHOLE.image)
    assert (count(WHOLE), count(some), count(Picked(WHOLE, np.zeros(7, int)))) == (5, 2, 7)


def test_what_is_missing_stays_missing():
    alone = Record(WHOLE.code)
    assert take(alone, slice(1)).image is None
    assert concatenate([alone, alone]).image is None


def test_picked_rows_are_of_the_record_in_the_order_asked_for():
    again = Picked(Picked(WHOLE, np.asarray([4, 4, 1])), np.asarray([2, 0]))
    np.testing.assert_array_equal(again[:].image, [1, 4])
    np.testing.assert_array_equal(take((again, np.arange(2)), np.asarray([1]))[0].image, [4])


@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 8])
def test_records_run_in_batches_of_one_shape_and_are_told_what_only_fills_them(batch_size, calls):
    shapes, real = [], []

    def double(record, more, active):
        shapes.append((len(record.code), len(more), len(active)))
        real.append(int(active.sum()))
        return Record(2 * record.code, np.where(active, more, -1))

    rows = np.asarray([4, 0, 1, 2, 3])
    found = map_batches(double, Picked(WHOLE, rows), rows, batch_size=batch_size, calls=calls, mask=True)
    np.testing.assert_array_equal(found.code, 2 * WHOLE.code[rows])
    np.testing.assert_array_equal(found.image, rows)
    assert set(shapes) == {(batch_size,) * 3}
    assert sum(real) == 5
    with pytest.raises(ValueError, match="no rows"):
        map_batches(double, take(WHOLE, slice(0)), rows[:0], mask=True)
