"""Classifiers named as `module:function`."""

import importlib
import pathlib
import sys
from collections.abc import Callable
from typing import Any


def import_function(name: str) -> Callable[..., Any]:
    """Imports `module:function`; the module may lie in the current folder. It runs the module's code.

    Raises:
        ValueError: naming the module or function that is not there.
    """
    module_name, _, function_name = name.partition(":")
    here = str(pathlib.Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise  # something that the module itself needs
        raise ValueError(f"there is no module {module_name!r}, neither installed nor in {here}") from error
    finally:
        sys.path.remove(here)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"{module_name} has no function {function_name!r}")
    return function
