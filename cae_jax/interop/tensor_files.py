"""Files of named tensors: PyTorch's, or numpy's `.npz` for those who have no PyTorch."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cae_jax.classifiers import read_tensors, write_tensors
from cae_jax.drafts import drafted


def read_tensor_file(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads a file of tensors by name, without running anything that is in it.

    Args:
        path: ending in .npz, or else a file of `torch.save`.

    Raises:
        ValueError: naming the file, if it cannot be read.
    """
    if path.suffix != ".npz":
        return {name: _array(tensor) for name, tensor in read_tensors(path).items()}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist") from error
    except Exception as error:  # zip, zlib and numpy have each their own
        raise ValueError(f"{path} cannot be read as .npz: {error}") from error


def _array(tensor: Any) -> np.ndarray:
    """A tensor as an array; bfloat16, which numpy does not know, as float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()


def write_tensor_file(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors by name; in a file of PyTorch's under the published key, 'ab'."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with drafted(path) as draft:
        if path.suffix == ".npz":
            arrays: dict[str, Any] = dict(tensors)
            with draft.open("wb") as file:
                np.savez(file, **arrays)
        else:
            write_tensors(draft, tensors, "ab")
