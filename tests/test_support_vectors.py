"""The second judge on small pictures whose classes are known."""

import numpy as np
import pytest

from cae_jax.classifiers import svm_judge
from cae_jax.classifiers.support_vectors import CHUNK, small_pixels
from cae_jax.data import ArraySource


class Counted(ArraySource):
    """A source that notes how many images are read together."""

    def __init__(self, images, labels):
        super().__init__(images, labels)
        self.read = []

    def take(self, indices):
        """See `ImageSource`."""
        self.read.append(len(indices))
        return super().take(indices)


def judge_of(train, most):
    judge = svm_judge(train, most, 0)
    assert judge is not None
    return judge


def rings(count, seed, side=12):
    """Pictures of two halves, bright or dark; the class is whether they are alike, which no line tells."""
    rng = np.random.default_rng(seed)
    halves = rng.integers(0, 2, (count, 2))
    images = np.zeros((count, side, side, 1))
    images[:, :, : side // 2] = halves[:, 0, None, None, None]
    images[:, :, side // 2 :] = halves[:, 1, None, None, None]
    noisy = (images * 150 + 50 + rng.integers(-30, 30, images.shape)).astype(np.uint8)
    return Counted(noisy, (halves[:, 0] == halves[:, 1]).astype(np.int32))


def test_it_learns_what_no_line_tells_apart_and_answers_uint8_and_unit_images_alike():
    train, test = rings(300, 0), rings(100, 1)
    judge = judge_of(train, 1000)
    images = test.take(np.arange(100))
    assert (judge(images) == test.labels).mean() > 0.98
    np.testing.assert_array_equal(judge(images), judge((images / np.float32(255)).astype(np.float32)))
    assert judge(images).dtype == np.int32


def test_it_is_fitted_once_to_no_more_images_than_said_and_only_when_it_is_asked():
    train, images = rings(2000, 0), rings(10, 1).take(np.arange(10))
    judge = judge_of(train, 700)
    assert not train.read
    first = judge(images)
    judge(images)
    assert sum(train.read) == 700
    assert max(train.read) <= CHUNK
    np.testing.assert_array_equal(judge_of(train, 700)(images), first)


def test_it_can_be_left_out_and_knows_what_to_say_of_a_single_class():
    train = rings(20, 0)
    assert svm_judge(train, 0, 0) is None
    one = ArraySource(train.take(np.arange(20)), np.full(20, 3, np.int32))
    assert judge_of(one, 100)(train.take(np.arange(4))).tolist() == [3] * 4


@pytest.mark.parametrize(("size", "values"), [((32, 20), 640), ((64, 64), 32 * 32), ((100, 65), 25 * 17), ((1, 1), 1)])
def test_large_images_are_averaged_to_at_most_32_pixels_a_side(size, values):
    images = np.random.default_rng(0).integers(0, 256, (3, *size, 2)).astype(np.uint8)
    images[1] = 255
    small = small_pixels(images)
    assert small.shape == (3, 2 * values)
    np.testing.assert_allclose(small[1], 1.0)


def test_squares_are_averaged_and_the_edge_fills_what_is_beyond():
    images = np.arange(33 * 33, dtype=np.float32).reshape(1, 33, 33, 1) / (33 * 33)
    small = small_pixels(images).reshape(17, 17)
    assert small[0, 0] == pytest.approx(images[0, :2, :2].mean())
    assert small[16, 16] == pytest.approx(images[0, 32, 32, 0])
