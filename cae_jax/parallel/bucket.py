"""Folders on a bucket: each is worked on in a local copy, which is brought in line with the bucket now and then.

So nothing else need know of buckets, and none of what they lack is asked of them: no renaming, no appending, no locks.
An object appears whole or not at all; what says that a checkpoint is whole comes after what it vouches for, and goes
before it.
"""

import atexit
import contextlib
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Iterator

import fsspec

from cae_jax.drafts import DRAFT, drafted
from cae_jax.errors import UserError

LAST = ("manifest.json", "package.json")  # of a checkpoint and of a package, which count from then on
UNFINISHED = (DRAFT, ".lock")


class BucketError(UserError, RuntimeError):
    """A bucket cannot be reached; the message names it and says what to install or check."""


def _check_name(name: str, local: pathlib.Path) -> None:
    """Raises `BucketError` for an object's name that is no file of the copy: a bucket's keys may be any text."""
    steps = name.split("/")
    plain = (
        not set(steps) & {"", ".", ".."} and not set(name) & {"\\", "\0"} and not pathlib.PureWindowsPath(name).drive
    )
    if not plain or not (local / name).resolve().is_relative_to(local.resolve()):  # a link may lead out as well
        raise BucketError(f"the object {name!r} is no file of that folder: rename it or delete it")


class BucketCopy:
    """A folder on a bucket and its local copy.

    Attributes:
        url: address of the folder on the bucket.
        local: folder of the copy, which is this process's and is deleted when it ends unless the bucket has become
            unreachable.
    """

    def __init__(self, url: str):
        """Makes the copy, empty; see `pull`.

        Raises:
            BucketError: if what reads such buckets is not installed.
        """
        self.url = url
        try:
            self._bucket, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BucketError(f"{url} cannot be opened: {error}. For Google Cloud: pip install gcsfs") from error
        self.local = pathlib.Path(tempfile.mkdtemp(prefix="cae_jax_bucket_"))
        self._broken = False
        atexit.register(self._delete)
        self._there: dict[str, str] = {}  # the bucket's version of what is alike on both sides
        self._here: dict[str, tuple[int, int]] = {}  # and ours: size and time
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # every kind of bucket has its own
            self._broken = True
            raise BucketError(
                f"{self.url} cannot be brought in line with its copy {self.local}, which is kept: {error}"
            ) from error

    def _delete(self) -> None:
        if not self._broken:
            shutil.rmtree(self.local)

    def _remote(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _version_here(self, name: str) -> tuple[int, int]:
        stat = (self.local / name).stat()
        return stat.st_size, stat.st_mtime_ns

    def _note(self, name: str) -> None:
        self._there[name] = self._bucket.ukey(self._remote(name))
        self._here[name] = self._version_here(name)

    def _forget(self, name: str) -> None:
        del self._there[name], self._here[name]

    def _listed(self) -> list[str]:
        """Names of the objects, without those that stand for folders and those that we would not send either."""
        self._bucket.invalidate_cache()
        names = (path.removeprefix(f"{self._root}/") for path in self._bucket.find(self._root))
        return sorted(name for name in names if not name.endswith(("/", *UNFINISHED)))

    def pull(self) -> None:
        """Fetches what is new on the bucket, and deletes what is gone from it.

        Raises:
            BucketError: if it cannot, or an object's name leads out of the copy; then nothing is fetched.
        """
        with self._lock, self._named_errors():
            listed = self._listed()
            for name in listed:
                _check_name(name, self.local)  # all of them, before any is fetched
            for name in listed:
                if self._there.get(name) == self._bucket.ukey(self._remote(name)):
                    continue
                path = self.local / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with drafted(path) as draft:
                    self._bucket.get_file(self._remote(name), str(draft))
                self._note(name)
            for name in self._there.keys() - set(listed):
                (self.local / name).unlink(missing_ok=True)
                self._forget(name)
            _drop_empty(self.local)

    def push(self) -> None:
        """Sends what is new here, and deletes from the bucket what is gone here; raises `BucketError` if it cannot."""
        with self._lock, self._named_errors():
            found = {
                str(path.relative_to(self.local))
                for path in self.local.rglob("*")
                if path.is_file() and not path.name.endswith(UNFINISHED)
            }
            for name in sorted(self._here.keys() - found, key=lambda name: not name.endswith(LAST)):
                self._bucket.rm_file(self._remote(name))
                self._forget(name)
            for name in sorted(found, key=lambda name: (name.endswith(LAST), name)):
                if self._here.get(name) != self._version_here(name):
                    self._bucket.put_file(str(self.local / name), self._remote(name))
                    self._note(name)


def _drop_empty(folder: pathlib.Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


_copies: list[BucketCopy] = []


def folder(text: str) -> pathlib.Path:
    """A path as it is or, for a URL (gs://..., s3://...), an empty local copy of that folder; see `pull_all`."""
    if "://" not in text:
        return pathlib.Path(text)
    copy = BucketCopy(text)
    _copies.append(copy)
    return copy.local


def pull_all() -> None:
    """Fetches what others have sent to the buckets in use."""
    for copy in _copies:
        copy.pull()


def push_all() -> None:
    """Sends what was written to the copies of the buckets in use."""
    for copy in _copies:
        copy.push()


def named(text: str) -> str:
    """A text for people in which copies are called by the buckets' names."""
    for copy in _copies:
        text = text.replace(str(copy.local), copy.url.rstrip("/"))
    return text
