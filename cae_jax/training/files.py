"""Writes files so that a reader sees the old contents or the new ones, never a part."""

import os
import pathlib

import numpy as np

DRAFT = ".draft"  # ending of what is not whole yet


def write_whole(path: pathlib.Path, contents: str | bytes) -> None:
    """Writes a file of text or bytes."""
    draft = path.with_name(path.name + DRAFT)
    try:
        draft.write_bytes(contents.encode() if isinstance(contents, str) else contents)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_npz(path: pathlib.Path, **arrays: np.ndarray) -> None:
    """Writes a compressed `.npz`."""
    draft = path.with_name(f"{path.name}.{os.getpid()}{DRAFT}")
    try:
        with draft.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
