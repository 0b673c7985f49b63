"""Values of any depth as brightness of 8 bits: a window of them is spread over black to white."""

import numpy as np

Window = tuple[float, float]
"""Centre and width, as DICOM has them."""


def window_ends(window: Window, exact: bool) -> tuple[float, float]:
    """The values that a window shows black and white (PS3.3, C.11.2.1.2 and C.11.2.1.3.2).

    Args:
        window: centre and width.
        exact: whether the width is of a continuous scale; else it counts whole values: (2048, 4096) is 0 to 4095.
    """
    centre, width = window
    if exact or width < 1:
        return centre - width / 2, centre + width / 2
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def to_bytes(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Spreads values from `black` to `white` over 0 to 255, rounded; what lies beyond is cut off. Any shape, uint8."""
    shown = (np.asarray(values, np.float32) - np.float32(black)) / np.float32(max(white - black, 1e-9))
    return np.round(np.clip(shown, 0.0, 1.0) * 255).astype(np.uint8)
