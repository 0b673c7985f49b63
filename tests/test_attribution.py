"""One map an image, and the shapes in which Quantus and captum ask for it, of an explainer whose maps are known."""

from types import SimpleNamespace

import numpy as np
import pytest

from cae_jax.explaining import Attribution, attribute, quantus_explain_func

ANSWERS = np.asarray([0, 2, 1, 0])
IMAGES = np.tile((ANSWERS / 4)[:, None, None, None], (1, 5, 3, 1)).astype(np.float32)
IMAGES[:, 1, 1] = np.arange(4)[:, None] / 8  # tells them apart


class Toy:
    """Three classes. Its map of an image toward a class is one number all over, negative toward class 0."""

    record = SimpleNamespace(image_shape=(5, 3, 1), class_names=("none", "round", "square"))

    def __init__(self):
        self.asked = []

    def predict(self, images):
        """Probabilities: the first pixel says the class."""
        return np.eye(3)[np.round(images[:, 0, 0, 0] * 4).astype(int)]

    def explain_batches(self, images, target, **options):
        """Maps toward all other classes or one for each image, an image at a time, and notes how it was asked."""
        self.asked.append(options)
        for row, answer in enumerate(self.predict(images).argmax(-1)):
            toward = [c for c in range(3) if c != answer] if isinstance(target, str) else [int(target[row])]
            rows = [(c, answer) for c in toward for answer in range(options.get("diverse", 1) if c else 1)]
            values = [self.value(images[row], c) + answer for c, answer in rows]
            saliency = np.tile(np.asarray(values, np.float32)[:, None, None], (1, 5, 3))
            counts = np.asarray([sum(other == c for other, _ in rows) for c, _ in rows])
            yield SimpleNamespace(image_index=np.full(len(rows), row), saliency=saliency, answers=counts)

    @staticmethod
    def value(image, target):
        """The map's number."""
        return (1 + image[1, 1, 0]) * (target + 1) * (-1 if target == 0 else 1)


def toward(row, target):
    return Toy.value(IMAGES[row], target)


def test_an_answer_s_map_is_the_mean_over_all_other_classes():
    toy = Toy()
    maps = attribute(toy, IMAGES)
    expected = [np.mean([toward(row, c) for c in range(3) if c != ANSWERS[row]]) for row in range(4)]
    np.testing.assert_allclose(maps, np.tile(np.reshape(expected, (4, 1, 1)), (1, 5, 3)), rtol=1e-6)
    assert toy.asked == [{"saliency": "relevance", "residual": True, "strategy": "medoid", "confidence": 0.5}]


def test_what_is_asked_for_goes_before_what_is_chosen():
    toy = Toy()
    attribute(toy, IMAGES, strategy="geodesic", residual=False)
    assert toy.asked == [{"saliency": "relevance", "residual": False, "strategy": "geodesic", "confidence": 0.5}]


def test_of_changes_the_size_counts():
    maps = attribute(Toy(), IMAGES, saliency="reconstruction", residual=False)
    expected = [np.mean([abs(toward(row, c)) for c in range(3) if c != ANSWERS[row]]) for row in range(4)]
    np.testing.assert_allclose(maps[:, 2, 2], expected, rtol=1e-6)


def test_another_class_s_map_is_what_stands_in_its_way():
    maps = attribute(Toy(), IMAGES, np.asarray([0, 1, 0, 2]))
    own = np.mean([toward(0, 1), toward(0, 2)])
    np.testing.assert_allclose(maps[:, 0, 0], [own, -toward(1, 1), -toward(2, 0), -toward(3, 2)], rtol=1e-6)
    maps = attribute(Toy(), IMAGES, np.asarray([0, 1, 0, 2]), saliency="path")
    np.testing.assert_allclose(maps[1:, 0, 0], [toward(1, 1), abs(toward(2, 0)), toward(3, 2)], rtol=1e-6)


def test_quantus_and_captum_get_the_same_maps_in_their_shapes():
    maps, inputs = attribute(Toy(), IMAGES), IMAGES.transpose(0, 3, 1, 2)
    found = quantus_explain_func(Toy())(None, inputs, ANSWERS, device="cpu")
    np.testing.assert_array_equal(found, maps[:, None])
    colours = Toy()
    colours.record = SimpleNamespace(image_shape=(5, 3, 3), class_names=Toy.record.class_names)
    found = Attribution(colours).attribute(np.repeat(inputs, 3, axis=1))
    assert found.shape == (4, 3, 5, 3)
    np.testing.assert_array_equal(found, np.repeat(maps[:, None], 3, axis=1))
    np.testing.assert_array_equal(
        Attribution(Toy()).attribute(inputs, target=1)[:, 0], attribute(Toy(), IMAGES, np.full(4, 1))
    )


def test_captum_s_way_gives_tensors_for_tensors():
    torch = pytest.importorskip("torch")
    inputs = torch.tensor(IMAGES.transpose(0, 3, 1, 2), requires_grad=True)
    found = Attribution(Toy()).attribute(inputs, target=torch.tensor([1] * 4))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found[:, 0], attribute(Toy(), IMAGES, np.full(4, 1)))
