"""PNG bytes for TFDS, which stores them without asking TensorFlow."""

import io

import numpy as np
from PIL import Image


def encode_png(image: np.ndarray) -> io.BytesIO:
    """Encodes a uint8 image `[height, width]` or `[height, width, 1 or 3]` as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image).save(buffer, format="png")
    buffer.seek(0)
    return buffer
