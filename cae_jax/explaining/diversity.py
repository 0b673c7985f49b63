"""Where fewer different answers were found than asked for, and why."""

from typing import NamedTuple

import numpy as np

from cae_jax.types import Ending, Explanation


class Shortfall(NamedTuple):
    """A request with fewer answers than were asked for.

    Attributes:
        row: of its first answer in the record.
        found: how many answers it has.
        why: in a sentence.
    """

    row: int
    found: int
    why: str


def find_shortfalls(explanation: Explanation, asked: int) -> list[Shortfall]:
    """The requests of a record that have fewer answers than `asked`."""
    answers, shortfalls = explanation.answers, []
    for row in np.flatnonzero((explanation.answer == 0) & (answers < asked)):
        ending, found = Ending(int(explanation.status[row])), int(answers[row])
        tried, confident = int(explanation.tried[row]), int(explanation.confident[row])
        why = f"of {tried} path{'s' * (tried != 1)} tried, {confident} reached a confident flip"
        if ending != Ending.FLIPPED:
            why = ending.message
        elif confident > found:
            why += f", of which the search can tell {found} apart"
        shortfalls.append(Shortfall(int(row), found, why))
    return shortfalls
