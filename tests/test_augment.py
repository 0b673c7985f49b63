"""Augmentation against scipy, pixel by pixel, and by where a dot goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cae_jax.data.augment import make_augment, move


def augmented(images, max_shift=0, max_rotation=0.0, mirror=False):
    return np.asarray(jax.jit(make_augment(max_shift, max_rotation, mirror))(jax.random.key(1), images))


def naive_shifts(image, most):
    """All shifted versions of `[height, width, channels]`, pixel by pixel."""
    height, width, _ = image.shape
    for down in range(-most, most + 1):
        for right in range(-most, most + 1):
            result = np.empty_like(image)
            for row in range(height):
                for column in range(width):
                    result[row, column] = image[
                        min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)
                    ]
            yield (down, right), result


def test_shift_moves_whole_images_and_repeats_their_edges():
    images = np.random.default_rng(0).integers(0, 256, (300, 4, 5, 2), np.uint8)
    seen = set()
    for before, after in zip(images, augmented(images, max_shift=1), strict=True):
        found = [at for at, candidate in naive_shifts(before / 255.0, 1) if np.allclose(candidate, after, atol=1e-6)]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) == 9


def test_nothing_asked_for_changes_nothing():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), np.uint8)
    np.testing.assert_allclose(augmented(images), images / 255.0, rtol=1e-6)


def test_mirroring_turns_about_half_of_the_images_around():
    images = np.random.default_rng(0).random((400, 2, 3, 1), np.float32)
    mirrored = augmented(images, mirror=True)
    turned = [(after == before[:, ::-1]).all() for before, after in zip(images, mirrored, strict=True)]
    same = [(after == before).all() for before, after in zip(images, mirrored, strict=True)]
    assert np.logical_xor(turned, same).all()
    assert 0.4 < np.mean(turned) < 0.6


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turn_with_a_shift_is_scipys(mirrored):
    image = np.random.default_rng(0).random((9, 12, 3), np.float32)
    angle, offset, centre = 0.4, np.asarray([1, -2]), np.asarray([4.0, 5.5])
    matrix = np.asarray([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    start = centre - matrix @ (centre - offset)
    channels = [ndimage.affine_transform(image[..., c], matrix, start, order=1, mode="nearest") for c in range(3)]
    expected = np.stack(channels, axis=-1)
    expected = expected[:, ::-1] if mirrored else expected
    found = move(*map(jnp.asarray, (image, angle, offset, mirrored)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_turn_is_at_most_as_far_as_asked():
    images = np.zeros((200, 31, 31, 1), np.float32)
    images[:, 15, 27] = 1.0
    turned = augmented(images, max_rotation=10.0)[..., 0]
    rows, columns = (np.arange(31) - 15)[:, None], (np.arange(31) - 15)[None, :]
    angles = np.rad2deg(np.arctan2((turned * rows).sum((1, 2)), (turned * columns).sum((1, 2))))
    assert -10.5 < angles.min() < -8
    assert 8 < angles.max() < 10.5
    assert abs(angles.mean()) < 1.5  # deviation 0.4


def test_what_becomes_of_an_image_depends_on_the_key():
    augment = jax.jit(make_augment(2, 10.0, True))
    images = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    first, second = (augment(jax.random.key(seed), images) for seed in (0, 1))
    assert (first != second).any()
    assert (augment(jax.random.key(0), images) == first).all()
