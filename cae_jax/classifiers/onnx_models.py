"""ONNX models. The one place that imports onnxruntime, which the extra 'onnx' installs."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from cae_jax.batching import map_batches

HOST_BATCH = 256  # images a call of a model that takes any number


def _onnxruntime() -> Any:
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError("ONNX models need onnxruntime: pip install 'cae_jax[onnx]'") from error
    return onnxruntime


def load_onnx(path: pathlib.Path, device: str) -> Callable[[np.ndarray], np.ndarray]:
    """Opens an ONNX model of one image input; its first output is taken.

    Args:
        path: of the `.onnx` file.
        device: 'cpu' or 'cuda'.

    Returns:
        Prepared images, float32, to outputs.

    Raises:
        ValueError: if the file is no ONNX model or takes something else, or the device or onnxruntime is not there.
    """
    onnxruntime = _onnxruntime()
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(device)
    if provider not in onnxruntime.get_available_providers():
        raise ValueError(f"onnxruntime has no device {device!r} here; it has {onnxruntime.get_available_providers()}")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=[provider])
    except Exception as error:  # its error classes are not public
        raise ValueError(f"{path} is no ONNX model that onnxruntime can open: {error}") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        found = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs)
        raise ValueError(f"{path} must take one float32 input of 4 dimensions, but takes {found}")
    fixed = inputs[0].shape[0]

    def call(images: np.ndarray) -> np.ndarray:
        try:
            return session.run(None, {inputs[0].name: images})[0]
        except Exception as error:
            raise ValueError(f"{path} takes {inputs[0].shape}, but was given {images.shape}: {error}") from error

    most = fixed if isinstance(fixed, int) else None
    return lambda images: map_batches(call, images, batch_size=most or min(len(images), HOST_BATCH))
