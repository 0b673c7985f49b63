"""Random changes of training images that keep their class: drawn and made in the compiled step, where it runs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from cae_jax.images import to_unit

Augment = Callable[[jax.Array, jax.Array], jax.Array]
"""Takes a PRNG key and images, `[batch, height, width, channels]` uint8 or in [0, 1]; returns others in [0, 1]."""


def move(image: jax.Array, angle: jax.Array, offset: jax.Array, mirrored: jax.Array) -> jax.Array:
    """Turns an image about its centre, shifts it, then mirrors it; bilinear, repeating edge pixels.

    Args:
        image: `[height, width, channels]`.
        angle: radians; from the first axis towards the second.
        offset: `[2]`, pixels along height and width that are looked at instead: the picture moves the other way.
        mirrored: whether left and right change places.
    """
    height, width, _ = image.shape
    down, right = jnp.mgrid[:height, :width] - jnp.asarray([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    right = jnp.where(mirrored, -right, right)
    down, right = down + offset[0], right + offset[1]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    places = [cos * down + sin * right + (height - 1) / 2, cos * right - sin * down + (width - 1) / 2]
    of_channel = lambda channel: map_coordinates(channel, places, order=1, mode="nearest")  # noqa: E731
    return jax.vmap(of_channel, in_axes=-1, out_axes=-1)(image)


def make_augment(max_shift: int, max_rotation: float, mirror: bool) -> Augment:
    """Makes a function that changes each image of a batch by itself; it may be compiled with `jax.jit`.

    Args:
        max_shift: whole pixels in both directions.
        max_rotation: degrees either way.
        mirror: whether about half of the images are mirrored left to right.
    """

    def augment(key: jax.Array, images: jax.Array) -> jax.Array:
        images = to_unit(images)
        if not (max_shift or max_rotation or mirror):
            return images
        turn, shift, flip = jax.random.split(key, 3)
        most = jnp.deg2rad(jnp.asarray(max_rotation, jnp.float32))
        angles = jax.random.uniform(turn, (len(images),), minval=-most, maxval=most)
        offsets = jax.random.randint(shift, (len(images), 2), -max_shift, max_shift + 1)
        mirrored = mirror & jax.random.bernoulli(flip, shape=(len(images),))
        return jax.vmap(move)(images, angles, offsets, mirrored)

    return augment
