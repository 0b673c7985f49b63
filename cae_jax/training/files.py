"""Writes files so that a reader sees the old contents or the new ones, never a part."""

import os
import pathlib
from typing import Any

import numpy as np


def write_whole(path: pathlib.Path, contents: str | bytes) -> None:
    """Writes a file of text or bytes."""
    draft = path.with_name(path.name + ".draft")
    try:
        draft.write_bytes(contents.encode() if isinstance(contents, str) else contents)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_npz(path: pathlib.Path, **arrays: Any) -> None:
    """Writes a compressed `.npz`; raises TypeError for an array of Python objects, which would be pickled."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:  # numpy's own keyword for that is written as an array before 2.2
            raise TypeError(f"{name} is an array of Python objects, not of numbers or texts")
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            np.savez_compressed(file, **arrays)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
