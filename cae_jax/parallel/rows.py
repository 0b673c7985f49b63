"""Rows of trees: a tree is an array, or a record of arrays that have as many rows, and None where there is none."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np

Tree = TypeVar("Tree")


def count(tree: Any) -> int:
    """How many rows a tree has."""
    return len(jax.tree.leaves(tree)[0])


def take(tree: Tree, index: Any) -> Tree:
    """Some of the rows: by their numbers, a mask or a slice."""
    return jax.tree.map(lambda array: array[index], tree)


def concatenate(trees: Sequence[Tree]) -> Tree:
    """One tree of several, row after row, on the host."""
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *trees)


def on_host(tree: Tree) -> Tree:
    """The same rows as numpy arrays."""
    return jax.tree.map(np.asarray, tree)


class Picked:
    """Rows of a tree, in any order and as often as wanted, copied only when a batch of them is asked for."""

    def __init__(self, tree: Any, rows: np.ndarray):
        self._tree, self._rows = tree, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return take(self._tree, self._rows[index])
