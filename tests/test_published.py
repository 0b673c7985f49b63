"""The published explanation, on a decoder and a classifier whose answers are known."""

import numpy as np
import pytest

from cae_jax.comparison.cae_methods import PUBLISHED, published_maps
from cae_jax.counterfactual import CodeTable, odds_of_probability
from cae_jax.explaining import Explainer, ExplainOptions

CORNER = 0.25  # brighter in every image by this, which the decoder does not draw


class Toy(Explainer):
    """An explainer that is what it is told to be."""

    def __init__(self, table):
        self.table = table

    @property
    def code_table(self):
        """What it was given."""
        return self.table


def explainer(codes, classes, confidences):
    """Class codes are brightnesses; the answer is 1 from 0.5 on, 2 from 0.8 on. Images of the table: see arguments."""

    def predict(images):
        return np.eye(3)[np.digitize(images[:, 1, 1, 0], [0.5, 0.8])]

    codes = np.asarray(codes, np.float32)[:, None]
    classes, odds = np.asarray(classes), np.asarray([odds_of_probability(each) for each in confidences])
    made = Toy(CodeTable(np.arange(len(codes)), codes, classes, classes, odds, classes, odds))
    made.encode = lambda images: (np.zeros((len(images), 1, 1, 1), np.float32), images[:, 1, 1])
    made.decode = lambda individual, codes: np.broadcast_to(codes[:, None, None], (len(codes), 2, 2, 1))
    made.predict = predict
    return made


def image_of(brightness):
    image = np.full((2, 2, 1), brightness, np.float32)
    image[0, 0] += CORNER
    return image


def maps_of(explainer, *brightnesses):
    images = np.stack([image_of(brightness) for brightness in brightnesses])
    return published_maps(explainer, images, ExplainOptions(confidence=0.9, **PUBLISHED))


def test_the_first_of_six_images_with_another_answer_is_compared_with_the_exemplar():
    toy = explainer([0.1, 0.2, 0.6, 0.7, 0.7, 0.9], [0, 0, 1, 1, 1, 2], [1.0] * 6)
    change = 0.6 * (0.7 - 0.2)  # 0.2, 0.3, 0.4, then 0.5: the medoid of the nearest other class is 0.7
    expected = np.full((2, 2), change)
    expected[0, 0] -= CORNER
    np.testing.assert_allclose(maps_of(toy, 0.2001)[0], np.abs(expected), atol=1e-3)


def test_where_the_reconstruction_has_another_answer_it_is_the_first():
    toy = explainer([0.2, 0.7], [0, 1], [1.0, 1.0])
    toy.predict = lambda images: np.eye(2)[(images[:, 0, 0, 0] > 0.5).astype(int)]  # the corner, which is not drawn
    (found,) = maps_of(toy, 0.3)
    np.testing.assert_allclose(found, [[CORNER, 0.0], [0.0, 0.0]], atol=1e-6)


def test_there_always_is_a_map():
    never = explainer([0.1, 0.4], [0, 1], [1.0, 1.0])  # what the table has of class 1 is not answered with it
    np.testing.assert_allclose(maps_of(never, 0.2)[0][1, 1], 0.2, atol=1e-6)
    doubtful = explainer([0.1, 0.7], [0, 1], [1.0, 0.3])
    np.testing.assert_allclose(maps_of(doubtful, 0.45)[0][1, 1], 0.05, atol=1e-6)
    alone = explainer([0.1], [0], [1.0])
    np.testing.assert_allclose(maps_of(alone, 0.2)[0], [[CORNER, 0.0], [0.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize("count", [1, 64, 65])
def test_every_image_has_its_own_map_in_order(count):
    toy = explainer([0.1, 0.7], [0, 1], [1.0, 1.0])
    brightnesses = np.linspace(0.1, 0.4, count)
    together = maps_of(toy, *brightnesses)
    assert together.shape == (count, 2, 2)
    np.testing.assert_array_equal(together[-1], maps_of(toy, brightnesses[-1])[0])
