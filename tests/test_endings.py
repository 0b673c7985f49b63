"""Names of how searches ended, over every combination of what can be known."""

import itertools

import numpy as np
import pytest

from cae_jax.counterfactual import decide_endings
from cae_jax.types import Ending

NAN = np.nan


def columns(rows):
    prediction, target, has_reference, start, flip, shift, answered = map(np.asarray, zip(*rows, strict=True))
    flip, shift = flip.astype(float), shift.astype(float)
    return prediction, target, has_reference.astype(bool), start, flip, shift, answered.astype(bool)


@pytest.mark.parametrize(
    ("prediction", "target", "has_reference", "start", "flip", "shift", "answered", "ending"),
    [
        (0, 1, True, 0, 0.4, 0.6, True, Ending.FLIPPED),
        (0, 1, True, 0, 0.0, 0.0, True, Ending.FLIPPED),
        (0, 1, True, 0, 0.4, NAN, True, Ending.WEAK),
        (0, 1, True, 0, NAN, NAN, True, Ending.NOT_FLIPPED),
        (0, 1, True, 2, 0.4, 0.6, True, Ending.NOT_RECONSTRUCTED),
        (0, 1, True, 1, NAN, NAN, True, Ending.NOT_RECONSTRUCTED),
        (0, -1, False, 0, NAN, NAN, True, Ending.NO_REFERENCE),
        (0, 1, False, 2, NAN, NAN, True, Ending.NO_REFERENCE),
        (1, 1, False, 1, NAN, NAN, True, Ending.ALREADY_TARGET),
        (1, 1, True, 2, 0.0, 0.0, True, Ending.ALREADY_TARGET),
        (1, 1, True, 1, NAN, NAN, False, Ending.ALREADY_TARGET),
        (0, 1, True, 0, 0.4, 0.6, False, Ending.NO_ANSWER),
        (0, -1, False, 0, NAN, NAN, False, Ending.NO_REFERENCE),
        (-1, 1, False, 0, NAN, NAN, True, Ending.NO_ANSWER),
        (-1, -1, False, 0, NAN, NAN, True, Ending.NO_ANSWER),
    ],
)
def test_every_ending_is_named(prediction, target, has_reference, start, flip, shift, answered, ending):
    found = decide_endings(*columns([(prediction, target, has_reference, start, flip, shift, answered)]))
    assert Ending(int(found[0])) is ending


def ending_by_hand(prediction, target, has_reference, start, flip, shift, answered):
    if prediction < 0:
        return Ending.NO_ANSWER
    if target == prediction:
        return Ending.ALREADY_TARGET
    if not has_reference:
        return Ending.NO_REFERENCE
    if not answered:
        return Ending.NO_ANSWER
    if start != prediction:
        return Ending.NOT_RECONSTRUCTED
    if np.isnan(flip):
        return Ending.NOT_FLIPPED
    return Ending.WEAK if np.isnan(shift) else Ending.FLIPPED


def test_every_combination_has_the_ending_of_its_most_basic_obstacle_in_one_batch():
    yes_and_no, flips, shifts = (False, True), (NAN, 0.0, 0.3), (NAN, 0.0, 0.5)
    classes = (0, 1, 2)
    rows = list(itertools.product((-1, *classes), (-1, *classes), yes_and_no, classes, flips, shifts, yes_and_no))
    expected = [ending_by_hand(*row) for row in rows]
    assert set(expected) == set(Ending)
    assert decide_endings(*columns(rows)).tolist() == expected


def test_every_ending_has_a_message_of_its_own():
    messages = [ending.message for ending in Ending]
    assert len(messages) == len(set(messages)) == 7
    assert all(messages)
