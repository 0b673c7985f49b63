"""Ranges and layouts of images: what users hand in, and what the networks see.

Users' images are `[batch, height, width, channels]`, uint8 or float in [0, 1], at their own size. The networks see
float32 in [-1, 1], with edge pixels repeated around until the sides suit the strides.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.errors import InputError


def padded_side(side: int, stride: int) -> int:
    """The least multiple of `stride` that is not below `side`."""
    return -(-side // stride) * stride


def to_unit(images: jax.Array | np.ndarray) -> jax.Array:
    """Turns uint8 images into float32 in [0, 1]; floats pass as float32 (float64 stays). Any shape."""
    images = jnp.asarray(images)
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255.0
    return images.astype(jnp.float64 if images.dtype == jnp.float64 else jnp.float32)


def unit_images(images: jax.Array | np.ndarray, name: str = "image") -> np.ndarray:
    """Checks images and brings them to float32 in [0, 1].

    Args:
        images: `[N, height, width, channels]`, uint8 or float in [0, 1]. Floats may be beyond by 0.001, for rounding.
        name: of one of them, for errors.

    Raises:
        InputError: for another shape, none at all, another type or other values; it names the first image's index.
    """
    array = np.asarray(images)
    if array.ndim != 4 or 0 in array.shape:
        raise InputError(
            f"{name}s must be [N, height, width, channels] with something in it, not of shape {array.shape}"
        )
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255.0
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name}s must be uint8, or float in [0, 1], not {array.dtype}")
    for index, one in enumerate(unit := array.astype(np.float32)):
        if not np.isfinite(one).all():
            raise InputError(f"{name} {index} has values that are not finite")
        if one.min() < -1e-3 or one.max() > 1 + 1e-3:
            raise InputError(
                f"{name} {index} has values from {one.min():.3g} to {one.max():.3g}; floats must lie in [0, 1]"
                + ("; divide by 255, or hand in uint8" if one.min() >= 0 and one.max() > 2 else "")
            )
    return unit


def to_model(images: jax.Array | np.ndarray, stride: int) -> jax.Array:
    """Brings `[..., height, width, channels]`, uint8 or [0, 1], into the networks' range [-1, 1] and padded size."""
    height, width = images.shape[-3:-1]
    rows, columns = padded_side(height, stride) - height, padded_side(width, stride) - width
    pad = [(0, 0)] * (images.ndim - 3) + [(rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0)]
    return jnp.pad(to_unit(images) * 2.0 - 1.0, pad, mode="edge")


def from_model(images: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Undoes `to_model`: crops `[..., H, W, channels]` in [-1, 1] to `size` (height, width), in [0, 1]."""
    top, left = (images.shape[-3] - size[0]) // 2, (images.shape[-2] - size[1]) // 2
    return images[..., top : top + size[0], left : left + size[1], :] * 0.5 + 0.5


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Rounds float images in [0, 1] to uint8; values outside are clipped. Any shape."""
    return np.round(np.clip(np.asarray(images), 0.0, 1.0) * 255.0).astype(np.uint8)
