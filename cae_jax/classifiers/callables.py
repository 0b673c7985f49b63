"""Functions named as `module:function` or `path/to/file.py:function`."""

import contextlib
import hashlib
import importlib
import importlib.util
import pathlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple


class Named(NamedTuple):
    """Where a function is.

    Attributes:
        home: a module's name, or the path of a Python file.
        function: name of the function.
    """

    home: str
    function: str

    @property
    def is_file(self) -> bool:
        """Whether `home` is a Python file."""
        return self.home.endswith(".py")

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders that the function's own imports may be in: its file's, and the current one."""
        here = str(pathlib.Path.cwd())
        own = [str(pathlib.Path(self.home).resolve().parent)] if self.is_file else []
        return tuple(dict.fromkeys([*own, here]))


def named_function(path: str) -> Named | None:
    """The function that a path names, or None where it names a file: one that is there, or could be no function."""
    home, colon, function = path.rpartition(":")
    if not colon or pathlib.Path(path).is_file() or not function.isidentifier():
        return None
    return Named(home, function)


@contextlib.contextmanager
def importable(folders: tuple[str, ...]) -> Iterator[None]:
    """Lets modules in these folders be imported, as they could be by a program that lies there."""
    sys.path[:0] = folders
    try:
        yield
    finally:
        for folder in folders:
            with contextlib.suppress(ValueError):  # the user's code may have tidied up
                sys.path.remove(folder)


def _module_of_file(file: pathlib.Path) -> ModuleType:
    """Runs a Python file as a module, once a process as long as it stays the same."""
    contents = hashlib.sha256(str(file).encode() + file.read_bytes()).hexdigest()
    name = f"{file.stem}_{contents[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import does it, for what looks its own module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module(named: Named) -> ModuleType:
    """Imports the module or runs the file; whatever its code raises becomes a ValueError that names it."""
    here = pathlib.Path.cwd()
    if named.is_file and not pathlib.Path(named.home).is_file():
        raise ValueError(f"{named.home} does not exist (looked for it from {here})")
    if not named.is_file and "/" in named.home:
        raise ValueError(f"{named.home} is no module; name a file whole, as in path/to/file.py:{named.function}")
    try:
        if named.is_file:
            return _module_of_file(pathlib.Path(named.home).resolve())
        return importlib.import_module(named.home)
    except ModuleNotFoundError as error:
        if error.name is not None and (named.home + ".").startswith(error.name + "."):
            raise ValueError(f"there is no module {named.home!r}, neither installed nor in {here}") from error
        raise ValueError(f"{named.home} cannot be imported: {error}") from error
    except Exception as error:  # whatever the user's code raises
        raise ValueError(f"{named.home} cannot be imported ({type(error).__name__}: {error})") from error


def import_function(path: str) -> Callable[..., Any]:
    """Imports what `module:function` or `path/to/file.py:function` names. It runs the module's code.

    A module may lie in the current folder. What it imports, then or later, may lie there or beside the file.

    Raises:
        ValueError: naming the module, file or function that is not there, or what the module's own code raised.
    """
    named = named_function(path)
    if named is None:
        raise ValueError(f"{path} is no function; name module:function or path/to/file.py:function")
    importlib.invalidate_caches()
    with importable(named.folders):
        module = _module(named)
    function = getattr(module, named.function, None)
    if not callable(function):
        raise ValueError(f"{named.home} has no function {named.function!r}")
    return function
