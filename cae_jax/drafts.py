"""Files that appear whole or not at all: written as a draft, which then takes the place of the old one."""

import contextlib
import pathlib
import secrets
from collections.abc import Iterator

DRAFT = ".draft"  # ending of what is not whole yet


@contextlib.contextmanager
def drafted(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file of its own to write to, which takes the place of `path` once the block has ended well."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{DRAFT}")  # processes on two hosts may share a number
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
