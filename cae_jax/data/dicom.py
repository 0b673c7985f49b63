"""Reads DICOM files. The one place that imports pydicom, which the extra 'dicom' installs."""

import pathlib
from typing import Any

import numpy as np

from cae_jax.data.pictures import Window, to_bytes, window_ends

DICOM_SUFFIXES = (".dcm", ".dicom")
MAGIC_AT, MAGIC = 128, b"DICM"
OFTEN_EMPTY = (  # tags that say something only where they have a value
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "NumberOfFrames",
)


def has_dicom_magic(path: pathlib.Path) -> bool:
    """Whether a file begins as DICOM files do, whatever its name is."""
    with path.open("rb") as file:
        return file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC


def _pydicom() -> Any:
    try:
        import pydicom.pixels
    except ImportError as error:
        raise ValueError("DICOM needs pydicom: pip install 'cae_jax[dicom]'") from error
    return pydicom


def _first(value: Any) -> float:
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)


def _is_empty(value: Any) -> bool:
    return value is None or (hasattr(value, "__len__") and (len(value) == 0 or (len(value) == 1 and value[0] == "")))


def _settle_tags(dataset: Any) -> None:
    """Brings tags where pydicom looks for them: those of a single frame's groups to the top; empty ones are absent."""
    for group in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for frame in list(dataset.get(group) or [])[:1]:
            for part in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                for element in (element for item in list(frame.get(part) or [])[:1] for element in item):
                    if element.tag not in dataset:
                        dataset.add(element)
    for name in OFTEN_EMPTY:
        if name in dataset and _is_empty(dataset.get(name)):
            del dataset[name]
    if "RescaleSlope" in dataset or "RescaleIntercept" in dataset:
        dataset.RescaleSlope = dataset.get("RescaleSlope", 1)
        dataset.RescaleIntercept = dataset.get("RescaleIntercept", 0)


def _padding(dataset: Any, stored: np.ndarray) -> np.ndarray:
    """Where stored values are padding (PS3.3, C.7.5.1.1.2): one value, or all from it to a limit."""
    if "PixelPaddingValue" not in dataset:
        return np.zeros(stored.shape, bool)
    ends = [dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue)]
    low, high = sorted(int(np.asarray(int(end)).astype(stored.dtype)) for end in ends)
    return (stored >= low) & (stored <= high)


def _file_window(dataset: Any) -> Window | None:
    """The first window of a file that has one; a width of 0 is none."""
    if "WindowCenter" not in dataset or "WindowWidth" not in dataset:
        return None
    window = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
    return window if window[1] > 0 else None


def _show(pydicom: Any, dataset: Any, stored: np.ndarray, window: Window | None) -> np.ndarray:
    """Grey values as 8 bits: rescaled, then through a window, a table, or spread over their own range."""
    values = np.asarray(pydicom.pixels.apply_modality_lut(stored, dataset), np.float64)
    function = str(dataset.get("VOILUTFunction", "LINEAR")).upper()
    if window is None and "VOILUTSequence" in dataset:
        table = dataset.VOILUTSequence[0]
        shown = pydicom.pixels.apply_voi(np.round(values).astype(np.int64), dataset)
        return to_bytes(shown, 0, 2 ** int(table.LUTDescriptor[2]) - 1)
    if window is None and (window := _file_window(dataset)) and function == "SIGMOID":
        return to_bytes(1 / (1 + np.exp(-4 * (values - window[0]) / window[1])), 0, 1)
    if window is not None:
        return to_bytes(values, *window_ends(window, function == "LINEAR_EXACT"))
    inside = values[~_padding(dataset, stored)]
    return to_bytes(values, inside.min(), inside.max()) if inside.size else np.zeros(values.shape, np.uint8)


def read_dicom(path: pathlib.Path, window: Window | None) -> np.ndarray:
    """Reads a DICOM file of one frame as it is meant to be shown.

    Grey values go through the modality's table or are rescaled to its units (`RescaleSlope`, `RescaleIntercept`). Then
    a window of them is spread over black to white (PS3.3, C.11.2.1.2), or the file's VOI table is applied. MONOCHROME1
    is inverted, padding is black, palettes become colours, and colours of more than 8 bits are scaled.

    Args:
        path: path of the DICOM file.
        window: centre and width, in the modality's units; None for the file's table or first window, or without either
            the range of its values that are no padding.

    Returns:
        `[height, width, 1 or 3]` uint8.

    Raises:
        ValueError: if the file is no DICOM or has several frames, or pydicom is not installed.
        Exception: whatever pydicom raises of a damaged file.
    """
    pydicom = _pydicom()
    try:
        dataset = pydicom.dcmread(path)
    except pydicom.errors.InvalidDicomError as error:
        raise ValueError("it has no DICOM header, whatever its name says") from error
    if "PixelData" not in dataset and "FloatPixelData" not in dataset and "DoubleFloatPixelData" not in dataset:
        raise ValueError("it is DICOM, but has no pixels")
    _settle_tags(dataset)
    if (frames := int(dataset.get("NumberOfFrames", 1))) > 1:
        raise ValueError(f"it holds {frames} frames; keep the one that is meant in a file of its own")
    colour = int(dataset.SamplesPerPixel) > 1
    stored = pydicom.pixels.pixel_array(dataset)
    stored = stored.reshape(stored.shape[-3:] if colour else stored.shape[-2:])
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = pydicom.pixels.apply_color_lut(stored, dataset)[..., :3]
        return to_bytes(stored, 0, np.iinfo(stored.dtype).max)
    if colour:
        return stored if stored.dtype == np.uint8 else to_bytes(stored, 0, 2 ** int(dataset.BitsStored) - 1)
    shown = _show(pydicom, dataset, stored, window)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 255 - shown
    return np.where(_padding(dataset, stored), 0, shown).astype(np.uint8)[..., None]
