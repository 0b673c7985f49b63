"""Controls: explanations that do not depend on the classifier's decision, so that a useful method must score better."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import sobel

from cae_jax.baselines.inputs import Array
from cae_jax.images import unit_images


def random_map(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Maps `[N, height, width]`, the given shape, of independent uniform random numbers in [0, 1), float32."""
    return np.random.default_rng(seed).random(shape, np.float32)


def edge_map(images: Array) -> np.ndarray:
    """Edge maps: the magnitude of the Sobel gradient of the mean over channels; border pixels are repeated.

    Args:
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].

    Returns:
        Maps `[N, height, width]` float32, >= 0; a straight edge from black to white has the value 4 on both sides.

    Raises:
        ValueError: for images of another shape or range.
    """
    grey = unit_images(images).mean(-1)
    return np.stack([np.hypot(sobel(g, 0, mode="nearest"), sobel(g, 1, mode="nearest")) for g in grey])


def reconstruction_error(images: Array, reconstructions: Array) -> np.ndarray:
    """Maps of a model's reconstruction error: |image - reconstruction|, averaged over channels.

    Args:
        images: `[N, height, width, channels]`, uint8 or float in [0, 1].
        reconstructions: reconstructions of the images, of the same shape, uint8 or float in [0, 1].

    Returns:
        Maps `[N, height, width]` float32 in [0, 1].

    Raises:
        ValueError: for images of another shape or range, or of different shapes.
    """
    first, second = unit_images(images), unit_images(reconstructions, "reconstruction")
    if first.shape != second.shape:
        raise ValueError(f"reconstructions must have the shape of images, {first.shape}, not {second.shape}")
    return np.abs(first - second).mean(-1)


def random_code_direction(class_codes: Array, lengths: Array, seed: int) -> np.ndarray:
    """Moves each class code by a given distance in a random direction (uniform on the sphere).

    Args:
        class_codes: class codes, `[N, size]`.
        lengths: distance by which each code is moved, `[N]`, >= 0; where it is NaN, the moved code is NaN.
        seed: seed of the directions.

    Returns:
        The moved codes, `[N, size]` float32.

    Raises:
        ValueError: if shapes do not fit.
    """
    codes, distances = np.asarray(class_codes, np.float32), np.asarray(lengths, np.float32)
    if codes.ndim != 2 or distances.shape != codes.shape[:1]:
        raise ValueError(
            f"class_codes must be [N, size] and lengths [N]; their shapes are {codes.shape} and {distances.shape}"
        )
    directions = np.random.default_rng(seed).standard_normal(codes.shape, np.float32)
    return codes + distances[:, None] * directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def randomise(params: Any, seed: int) -> Any:
    """Replaces parameters by random ones: each array is normal, with the mean and standard deviation it had before.

    A method that explains the network's decision must give other explanations with such parameters (Adebayo et al.
    2018, "Sanity Checks for Saliency Maps", arXiv 1810.03292). Constant arrays and arrays that are not floats stay as
    they are.

    Args:
        params: tree of arrays.
        seed: seed of the random numbers.

    Returns:
        A tree of the same structure, shapes and types.
    """
    key = jax.random.key(seed)
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten(_redraw(leaf, jax.random.fold_in(key, place)) for place, leaf in enumerate(leaves))


def _redraw(leaf: Any, key: jax.Array) -> jax.Array:
    leaf = jnp.asarray(leaf)
    if not jnp.issubdtype(leaf.dtype, jnp.floating) or leaf.size == 0:
        return leaf
    return leaf.mean() + leaf.std() * jax.random.normal(key, leaf.shape, leaf.dtype)
