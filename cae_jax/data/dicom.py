"""Reads DICOM files. The one place that imports pydicom, which the extra 'dicom' installs."""

import pathlib
from typing import Any

import numpy as np

DICOM_SUFFIXES = (".dcm", ".dicom")


def _pydicom() -> Any:
    try:
        import pydicom.pixels
    except ImportError as error:
        raise ValueError("DICOM needs pydicom: pip install 'cae_jax[dicom]'") from error
    return pydicom


def _first(value: Any) -> float:
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)


def read_dicom(path: pathlib.Path, window: tuple[float, float] | None) -> np.ndarray:
    """Reads a DICOM file of one frame as it is meant to be shown.

    Grey values are rescaled to the modality's units (`RescaleSlope`, `RescaleIntercept`), then a window of them is
    spread over black to white (PS3.3, C.11.2.1.2); MONOCHROME1 is inverted.

    Args:
        path: of the file.
        window: centre and width, in the modality's units; None for the file's first window, or without one its range.

    Returns:
        `[height, width, 1 or 3]` uint8.

    Raises:
        ValueError: if the file is no DICOM, has no pixels or several frames, or pydicom is not installed.
    """
    pydicom = _pydicom()
    try:
        dataset = pydicom.dcmread(path)
        pixels = pydicom.pixels.pixel_array(dataset)
    except FileNotFoundError:
        raise
    except Exception as error:  # what pydicom raises depends on the pixels' codec
        raise ValueError(str(error)) from error
    if (pixels.ndim > 2 and pixels.shape[-1] != 3) or pixels.ndim > 3:
        raise ValueError(f"it holds {pixels.shape[0]} frames; keep the one that is meant in a file of its own")
    if pixels.ndim == 3:
        if pixels.dtype != np.uint8:
            raise ValueError(f"its colours are {pixels.dtype}, not 8 bits")
        return pixels
    values = np.asarray(pydicom.pixels.apply_rescale(pixels, dataset), np.float64)
    if window is None and "WindowCenter" in dataset and "WindowWidth" in dataset:
        window = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
    if window is None:
        low, span = values.min(), max(values.max() - values.min(), 1e-9)
    else:
        low, span = window[0] - 0.5 - (window[1] - 1) / 2, max(window[1] - 1, 1e-9)
    shown = np.clip((values - low) / span, 0.0, 1.0)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 1.0 - shown
    return np.round(shown * 255).astype(np.uint8)[..., None]
