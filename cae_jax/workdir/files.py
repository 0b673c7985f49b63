"""Writes files so that a reader sees the old contents or the new ones, never a part."""

import contextlib
import itertools
import pathlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from cae_jax.drafts import drafted

DAMAGED = (OSError, ValueError, KeyError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile)
"""What reading a damaged `.npz`, or one of other arrays, raises."""


def write_whole(path: pathlib.Path, contents: str | bytes) -> None:
    """Writes a file of bytes, or of text in UTF-8: bytes of a file's name that are no text stand as their escapes."""
    with drafted(path) as draft:
        draft.write_bytes(contents.encode(errors="backslashreplace") if isinstance(contents, str) else contents)


@contextlib.contextmanager
def reading_npz(path: pathlib.Path) -> Iterator[Mapping[str, np.ndarray]]:
    """Opens an `.npz` and closes it, a damaged one too, which `np.load` alone leaves open; nothing is unpickled."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        yield arrays


def write_npz(path: pathlib.Path, **arrays: Any) -> None:
    """Writes a compressed `.npz`; raises TypeError for an array of Python objects, which would be pickled."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:  # numpy's own keyword for that is written as an array before 2.2
            raise TypeError(f"{name} is an array of Python objects, not of numbers or texts")
    with drafted(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, **arrays)


def write_npz_in_parts(path: pathlib.Path, arrays: Mapping[str, tuple[int, Iterable[np.ndarray]]]) -> None:
    """Writes a compressed `.npz` of arrays that need not be in memory.

    Args:
        path: path of the file.
        arrays: by name, how many rows an array has, and its parts in order, at least one; they are asked for when it
            is written.
    """
    with drafted(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
        for name, (rows, parts) in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                remaining = iter(parts)
                first = next(remaining)
                header = {
                    "descr": np.lib.format.dtype_to_descr(first.dtype),
                    "fortran_order": False,
                    "shape": (rows, *first.shape[1:]),
                }
                np.lib.format.write_array_header_2_0(member, header)
                for part in itertools.chain([first], remaining):
                    member.write(np.ascontiguousarray(part, first.dtype).tobytes())
