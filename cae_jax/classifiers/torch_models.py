"""PyTorch models. The one place that imports torch, which the extra 'torch' installs."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cae_jax.batching import map_batches
from cae_jax.classifiers.callables import import_function

HOST_BATCH = 256  # images a call of a model that takes any number


def _torch() -> Any:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError("PyTorch models need torch: pip install 'cae_jax[torch]'") from error
    return torch


def read_tensors(path: pathlib.Path, *, unpickle: bool = False) -> dict[str, Any]:
    """Reads a file that `torch.save` wrote.

    Args:
        path: of a state dict, by itself, under the key 'state_dict' or under the only key there is.
        unpickle: read files that hold more than tensors; such a file can run any code it likes.

    Raises:
        ValueError: naming the file, if it is missing, no such file, or holds more than tensors.
    """
    torch = _torch()
    try:
        contents = torch.load(path, map_location="cpu", weights_only=not unpickle)
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist") from error
    except Exception as error:  # depends on what is wrong with the file
        raise ValueError(
            f"{path} cannot be read as tensors alone ({str(error).splitlines()[0]}). Save model.state_dict(); or, if "
            f"you trust whoever made the file as you would a program of theirs, allow classifier.unpickle_runs_code"
        ) from error
    if isinstance(contents, torch.nn.Module):
        contents = contents.state_dict()
    while isinstance(contents, dict) and (len(contents) == 1 or "state_dict" in contents):
        inner = contents.get("state_dict", next(iter(contents.values())))
        if not isinstance(inner, dict):
            break
        contents = inner
    if not isinstance(contents, dict) or not all(isinstance(value, torch.Tensor) for value in contents.values()):
        raise ValueError(f"{path} holds no state dict (names to tensors), but {type(contents).__name__}")
    return contents


def write_tensors(path: pathlib.Path, arrays: Mapping[str, np.ndarray], key: str) -> None:
    """Writes arrays by name as a state dict under a key, with `torch.save`."""
    torch = _torch()
    torch.save({key: {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}}, path)


def _exported(path: pathlib.Path) -> tuple[Any, int | None]:
    """The module of a `torch.export` file, and the batch size if it was exported for one only."""
    torch = _torch()
    try:
        program = torch.export.load(str(path))
    except Exception as error:  # depends on what is wrong with the file
        raise ValueError(f"{path} is no file of torch.export.save: {str(error).splitlines()[0]}") from error
    names = program.graph_signature.user_inputs
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.name in names]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ValueError(f"{path} must take one input of 4 dimensions, but takes {[tuple(s) for s in shapes]}")
    return program.module(), shapes[0][0] if isinstance(shapes[0][0], int) else None


def _built(name: str, weights: str, unpickle: bool) -> Any:
    """The module that `module:function` builds, with a state dict read into it."""
    torch = _torch()
    module = import_function(name)()
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"{name}() must return a torch.nn.Module, not {type(module).__name__}")
    if weights:
        try:
            module.load_state_dict(read_tensors(pathlib.Path(weights), unpickle=unpickle))
        except RuntimeError as error:
            raise ValueError(f"{weights} does not fit {name}: {error}") from error
    return module.eval()


def load_torch(path: str, *, weights: str, device: str, unpickle: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Opens a PyTorch classifier.

    Args:
        path: of a `torch.export` file (.pt2), or `module:function` that builds a `torch.nn.Module`.
        weights: of a state dict for the latter; '' for none.
        device: in torch's words, such as 'cpu' or 'cuda:0'.
        unpickle: see `read_tensors`.

    Returns:
        Prepared images, float32, to outputs.

    Raises:
        ValueError: naming the file, function or device that is not what it should be.
    """
    torch = _torch()
    module, fixed = (_built(path, weights, unpickle), None) if ":" in path else _exported(pathlib.Path(path))
    try:
        module = module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"torch has no device {device!r} here: {str(error).splitlines()[0]}") from error

    def call(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(np.ascontiguousarray(images)).to(device)).cpu().numpy()

    return lambda images: map_batches(call, images, batch_size=fixed or min(len(images), HOST_BATCH))
