"""What took a while to make, kept in an `.npz` under a key that says what it was made from."""

import logging
import pathlib
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from cae_jax.workdir.files import DAMAGED, reading_npz

log = logging.getLogger(__name__)
Made = TypeVar("Made")


def read_kept(path: pathlib.Path, make: Callable[[Mapping[str, np.ndarray]], Made], **key: str) -> Made | None:
    """Reads what is kept in an `.npz`; a file that is damaged counts as none, and that is logged.

    Args:
        path: of the file.
        make: its arrays, by name, to what is returned. It may raise ValueError or KeyError where they do not fit.
        **key: texts that the file must have, by name.

    Returns:
        What `make` returns, or None if there is no such file or its key is another.
    """
    if not path.exists():
        return None
    try:
        with reading_npz(path) as arrays:
            if any(str(arrays[name]) != text for name, text in key.items()):
                return None
            return make(arrays)
    except DAMAGED as error:
        log.warning("%s is damaged (%s) and is made again", path, error)
    return None
