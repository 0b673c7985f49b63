"""ONNX models. The one place that imports onnxruntime, which the extra 'onnx' installs."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from cae_jax.classifiers.answers import words_of

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
LEVELS = {"tensor(uint8)": np.uint8}  # types of images that come as whole numbers from 0 to 255


def _onnxruntime() -> Any:
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError("ONNX models need onnxruntime: pip install 'cae_jax[onnx]'") from error
    return onnxruntime


def load_onnx(
    path: pathlib.Path, device: str, levels: bool = False
) -> tuple[Callable[[np.ndarray], dict[str, Any]], int]:
    """Opens an ONNX model of one image input.

    Args:
        path: path of the `.onnx` file.
        device: device to compute on, 'cpu' or 'cuda'.
        levels: whether prepared images are levels of brightness from 0 to 255, as a model of whole numbers takes them.

    Returns:
        Prepared images, float32, to all outputs by name; and the batch size that the file asks for, or 0.

    Raises:
        ValueError: if the file is no ONNX model or takes something else, or the device or onnxruntime is not there.
    """
    onnxruntime = _onnxruntime()
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(device.lower())
    if provider not in onnxruntime.get_available_providers():
        raise ValueError(f"onnxruntime has no device {device!r} here; it has {onnxruntime.get_available_providers()}")
    try:
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4  # what it raises it need not print as well
        session = onnxruntime.InferenceSession(str(path), settings, providers=[provider])
    except Exception as error:  # its error classes are not public
        raise ValueError(f"{path} is no ONNX model that onnxruntime can open: {words_of(error)}") from error
    inputs, outputs = session.get_inputs(), [entry.name for entry in session.get_outputs()]
    if len(inputs) != 1 or inputs[0].type not in TYPES | LEVELS or len(inputs[0].shape) != 4:
        found = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs)
        raise ValueError(f"{path} must take one input of 4 dimensions, floats or uint8, but takes {found}")
    name, kind, shape = inputs[0].name, inputs[0].type, inputs[0].shape
    if kind in LEVELS and not levels:
        raise ValueError(f"{path} takes whole numbers from 0 to 255: say input.range = (0, 255), without mean and std")

    def call(images: np.ndarray) -> dict[str, Any]:
        given = images.round().clip(0, 255).astype(LEVELS[kind]) if kind in LEVELS else images.astype(TYPES[kind])
        try:
            return dict(zip(outputs, session.run(None, {name: given}), strict=True))
        except Exception as error:
            raise ValueError(f"{path} takes {shape}, but was given {images.shape}: {words_of(error)}") from error

    return call, shape[0] if isinstance(shape[0], int) else 0
