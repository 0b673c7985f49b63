"""PyTorch models. The one place that imports torch, which the extra 'torch' installs."""

import logging
import pathlib
import zipfile
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from cae_jax.classifiers.answers import words_of
from cae_jax.classifiers.callables import import_function, named_function

# Names of weights in a training's checkpoint, the likeliest first.
STATES = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")  # what parallel, compiling and training modules put before names
SHOWN = 4  # names that a message lists
log = logging.getLogger(__name__)


def _torch() -> Any:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError("PyTorch models need torch: pip install 'cae_jax[torch]'") from error
    return torch


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _is_script(path: pathlib.Path) -> bool:
    """Whether a file is a TorchScript archive, which holds a program beside its tensors."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _contents(path: pathlib.Path, unpickle: bool) -> Any:
    torch = _torch()
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if _is_script(path):
            raise ValueError(
                f"{path} is TorchScript, no state dict: name a function that returns torch.jit.load({path.name!r}) as "
                f"path, without weights"
            )
        return torch.load(path, map_location="cpu", weights_only=not unpickle)
    except ValueError:
        raise
    except Exception as error:  # depends on what is wrong with the file
        if unpickle or path.suffix == ".safetensors":
            raise ValueError(f"{path} cannot be read ({type(error).__name__}: {words_of(error)})") from error
        log.debug("%s", path, exc_info=error)
        reason = words_of(error, telling="Unsupported")
        raise ValueError(
            f"{path} cannot be read as tensors alone ({reason}). Save model.state_dict(); or, if you trust "
            f"whoever made the file as you would a program of theirs, allow classifier.unpickle_runs_code"
        ) from error


def _states(contents: Any, depth: int = 3) -> dict[str, dict[str, Any]]:
    """The state dicts in what a file holds, by the keys that lead to them, joined by dots."""
    torch = _torch()
    if isinstance(contents, torch.nn.Module):
        return {"": contents.state_dict()}
    if not isinstance(contents, Mapping) or depth == 0:
        return {}
    if contents and all(isinstance(value, torch.Tensor) for value in contents.values()):
        return {"": {str(name): value for name, value in contents.items()}}
    return {
        f"{key}.{inner}".rstrip("."): state
        for key, value in contents.items()
        for inner, state in _states(value, depth - 1).items()
    }


def read_tensors(path: pathlib.Path, *, unpickle: bool = False) -> dict[str, Any]:
    """Reads a file that `torch.save` or safetensors wrote.

    Args:
        path: path of a state dict, by itself or in a training's checkpoint: under a usual key, or the only one.
        unpickle: whether to read files that hold more than tensors; such a file can run any code it likes.

    Raises:
        ValueError: naming the file, if it is missing, no such file, or holds more than tensors.
    """
    contents = _contents(path, unpickle)
    found = _states(contents)
    if not found:
        what = type(contents).__name__
        if isinstance(contents, Mapping):
            what += f" with {_listed([str(key) for key in contents])}"
        raise ValueError(f"{path} holds no state dict (names to tensors), but {what}")
    if len(found) == 1:
        key = next(iter(found))
    else:
        usual = [key for name in STATES for key in found if key.partition(".")[0] == name]
        if not usual:
            raise ValueError(
                f"{path} holds several state dicts ({_listed(found)}); save the one that is meant to a file of its own"
            )
        key = usual[0]
    if key:
        others = [name for name in found if name != key]
        log.info("%s: read under %r%s", path, key, f"; left aside: {_listed(others)}" if others else "")
    return found[key]


def _without_wrappers(names: Collection[str]) -> str:
    """What wrappers have put before all of these names."""
    prefix = ""
    while True:
        more = next((w for w in WRAPPERS if names and all(name.startswith(prefix + w) for name in names)), "")
        if not more:
            return prefix
        prefix += more


def _renamed(tensors: dict[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    """Tensors under the names that a module has, where a wrapper has put something before theirs or the module's."""
    needed = {name for name in wanted if not name.endswith("num_batches_tracked")}
    if not needed or needed <= tensors.keys():
        return tensors
    own = _without_wrappers(wanted)
    bare = [name.removeprefix(own) for name in needed]
    places = {name.removesuffix(bare[0]) for name in tensors if name.endswith(bare[0])}
    fitting = [place for place in places if all(place + name in tensors for name in bare)]
    theirs = min(
        fitting, key=lambda place: (place not in WRAPPERS, len(place), place), default=_without_wrappers(tensors)
    )
    aside = [name for name in tensors if not name.startswith(theirs)]
    log.info("names of weights: %r is read as %r%s", theirs, own, f"; left aside: {_listed(aside)}" if aside else "")
    return {own + name.removeprefix(theirs): value for name, value in tensors.items() if name.startswith(theirs)}


def _fill(module: Any, weights: str, name: str, unpickle: bool) -> None:
    """Reads a state dict into a module."""
    tensors = read_tensors(pathlib.Path(weights), unpickle=unpickle)
    try:
        left = module.load_state_dict(_renamed(tensors, module.state_dict().keys()), strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]] or [words_of(error)]
        more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        raise ValueError(f"{weights} does not fit {name}: {' '.join(lines[:SHOWN])}{more}") from error
    differing = [
        f"{what} {_listed(names)}"
        for what, names in (("it lacks", left.missing_keys), ("it has besides", left.unexpected_keys))
        if names
    ]
    if differing:
        raise ValueError(f"{weights} does not fit {name}: {'; '.join(differing)}")


def write_tensors(path: pathlib.Path, arrays: Mapping[str, np.ndarray], key: str) -> None:
    """Writes arrays by name as a state dict under a key, with `torch.save`."""
    torch = _torch()
    torch.save({key: {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}}, path)


def _exported(path: pathlib.Path) -> tuple[Any, tuple[Any, ...], Any]:
    """The module of a `torch.export` file, and shape ('any' where that is open) and type of its input."""
    torch = _torch()
    if _is_script(path):
        raise ValueError(
            f"{path} is TorchScript, no file of torch.export.save: name a function that returns "
            f"torch.jit.load({path.name!r}) as path"
        )
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no file of torch.export.save: it is no archive")
    logger = logging.getLogger("torch.export")
    level = logger.level
    try:
        logger.setLevel(logging.CRITICAL)  # it would print tracebacks before our sentence
        program = torch.export.load(str(path))
    except Exception as error:  # depends on what is wrong with the file
        raise ValueError(
            f"{path} is no file of torch.export.save: {words_of(error)}. If it holds a state dict, name it as weights, "
            f"and as path a function that builds the module"
        ) from error
    finally:
        logger.setLevel(level)
    names = program.graph_signature.user_inputs
    inputs = [node.meta["val"] for node in program.graph.nodes if node.name in names]
    shapes = [tuple(size if isinstance(size, int) else "any" for size in entry.shape) for entry in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or not inputs[0].is_floating_point():
        types = [f"{entry.dtype} {shape}" for entry, shape in zip(inputs, shapes, strict=True)]
        raise ValueError(f"{path} must take one input of 4 dimensions, of floats, but takes {', '.join(types)}")
    return program.module(), shapes[0], inputs[0].dtype


def _built(name: str, weights: str, unpickle: bool) -> tuple[Any, Any]:
    """The module that a function builds, with a state dict read into it, and its type of numbers."""
    torch = _torch()
    function = import_function(name)
    try:
        module = function()
    except Exception as error:  # whatever somebody's code raises
        raise ValueError(f"{name}() raised {type(error).__name__}: {words_of(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"{name}() must return a torch.nn.Module, not {type(module).__name__}")
    if weights:
        _fill(module, weights, name, unpickle)
    types = {parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()}
    return module.eval(), types.pop() if len(types) == 1 else torch.float32


def load_torch(path: str, *, weights: str, device: str, unpickle: bool) -> tuple[Callable[[np.ndarray], Any], int]:
    """Opens a PyTorch classifier.

    Args:
        path: path of a `torch.export` file (.pt2), or a function that builds a `torch.nn.Module`, see `named_function`.
        weights: path of a state dict for the latter; '' for none.
        device: device to compute on in torch's words, such as 'cpu' or 'cuda:0'.
        unpickle: whether `weights` may run code, see `read_tensors`.

    Returns:
        Prepared images, float32, to whatever the module returns; and the batch size that the file asks for, or 0.

    Raises:
        ValueError: naming the file, function or device that is not what it should be.
    """
    torch = _torch()
    if named_function(path):
        module, kind = _built(path, weights, unpickle)
        shape: tuple[Any, ...] = ("any",)
    else:
        module, shape, kind = _exported(pathlib.Path(path))
    try:
        module = module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"torch has no device {device!r} here: {words_of(error)}") from error

    def call(images: np.ndarray) -> Any:
        try:
            with torch.no_grad():  # not inference mode, in which a module could not take gradients of its own
                return module(torch.from_numpy(images).to(device, kind))
        except (AssertionError, RuntimeError) as error:
            if len(shape) == 1:
                raise
            raise ValueError(f"{path} takes {shape}, but was given {images.shape}: {words_of(error)}") from error

    return call, 0 if shape[0] == "any" else shape[0]
