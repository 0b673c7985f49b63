"""Files and data sets known by their contents."""

import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from cae_jax.data.image_files import ImageError

SAMPLED = 4096  # bytes, three times, of a file that is compared with others
THREADS = 4


def file_sketch(path: pathlib.Path) -> str:
    """A file's length and a hash of its beginning, middle and end: what equal files share and few others do.

    Raises:
        ImageError: naming the file, if it cannot be read.
    """
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            if length <= 3 * SAMPLED:
                return f"{length}-{hashlib.sha256(file.read()).hexdigest()[:32]}"
            parts = []
            for start in (0, length // 2, max(length - SAMPLED, 0)):
                file.seek(start)
                parts.append(file.read(SAMPLED))
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist") from error
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error}") from error
    return f"{length}-{hashlib.sha256(b''.join(parts)).hexdigest()[:32]}"


def file_sketches(files: Sequence[pathlib.Path]) -> tuple[str, ...]:
    """The sketches of many files."""
    with ThreadPoolExecutor(THREADS) as pool:
        return tuple(pool.map(file_sketch, files))


def shared_files(
    first: Sequence[tuple[pathlib.Path, str]], second: Sequence[tuple[pathlib.Path, str]]
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Pairs of files of the same contents, one of either list. Only files that look alike are read whole.

    Args:
        first: files of the first list, with their sketches.
        second: files of the second list.
    """
    by_sketch = {sketch: path for path, sketch in first}
    alike = ((by_sketch.get(sketch), path) for path, sketch in second)
    digest = lambda path: hashlib.sha256(path.read_bytes()).digest()  # noqa: E731
    return [(known, path) for known, path in alike if known is not None and digest(known) == digest(path)]


def fingerprint(parts: Iterable[object]) -> str:
    """A digest of texts, numbers and bytes, in their order."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else str(part).encode(errors="surrogateescape"))
        whole.update(b"\0")
    return whole.hexdigest()
