"""Names of how searches ended, over every combination of what can be known."""

import itertools

import numpy as np
import pytest

from cae_jax.counterfactual import decide_endings
from cae_jax.types import Ending

NAN = np.nan


def columns(rows):
    prediction, target, has_reference, start, flip, shift = (np.asarray(column) for column in zip(*rows, strict=True))
    return prediction, target, has_reference.astype(bool), start, flip.astype(float), shift.astype(float)


@pytest.mark.parametrize(
    ("prediction", "target", "has_reference", "start", "flip", "shift", "ending"),
    [
        (0, 1, True, 0, 0.4, 0.6, Ending.FLIPPED),
        (0, 1, True, 0, 0.0, 0.0, Ending.FLIPPED),
        (0, 1, True, 0, 0.4, NAN, Ending.WEAK),
        (0, 1, True, 0, NAN, NAN, Ending.NOT_FLIPPED),
        (0, 1, True, 2, 0.4, 0.6, Ending.NOT_RECONSTRUCTED),
        (0, 1, True, 1, NAN, NAN, Ending.NOT_RECONSTRUCTED),
        (0, -1, False, 0, NAN, NAN, Ending.NO_REFERENCE),
        (0, 1, False, 2, NAN, NAN, Ending.NO_REFERENCE),
        (1, 1, False, 1, NAN, NAN, Ending.ALREADY_TARGET),
        (1, 1, True, 2, 0.0, 0.0, Ending.ALREADY_TARGET),
    ],
)
def test_every_ending_is_named(prediction, target, has_reference, start, flip, shift, ending):
    found = decide_endings(*columns([(prediction, target, has_reference, start, flip, shift)]))
    assert Ending(int(found[0])) is ending


def ending_by_hand(prediction, target, has_reference, start, flip, shift):
    if target == prediction:
        return Ending.ALREADY_TARGET
    if not has_reference:
        return Ending.NO_REFERENCE
    if start != prediction:
        return Ending.NOT_RECONSTRUCTED
    if np.isnan(flip):
        return Ending.NOT_FLIPPED
    return Ending.WEAK if np.isnan(shift) else Ending.FLIPPED


def test_every_combination_has_the_ending_of_its_most_basic_obstacle_in_one_batch():
    rows = list(itertools.product((0, 1, 2), (-1, 0, 1, 2), (False, True), (0, 1, 2), (NAN, 0.0, 0.3), (NAN, 0.0, 0.5)))
    expected = [ending_by_hand(*row) for row in rows]
    assert set(expected) == set(Ending)
    assert decide_endings(*columns(rows)).tolist() == expected


def test_every_ending_has_a_message_of_its_own():
    messages = [ending.message for ending in Ending]
    assert len(messages) == len(set(messages)) == 6
    assert all(messages)
