"""One map an image, and the shapes in which Quantus and captum ask for it."""

import numpy as np
import pytest

from cae_jax.explaining import Attribution, attribute, quantus_explain_func

EASY = {"confidence": 0.2, "saliency": "reconstruction"}


@pytest.fixture
def images(digits):
    return digits.test.take(np.arange(5)).astype(np.float32) / 255


def test_an_answer_s_map_is_the_mean_over_all_other_classes(trained_explainer, digits):
    images = digits.test.take(np.arange(24))
    maps = attribute(trained_explainer, images, **EASY)
    found = trained_explainer.explain(images, "all", residual=True, **EASY)
    for row in range(24):
        np.testing.assert_allclose(maps[row], np.abs(found.saliency[found.image_index == row]).mean(0), atol=1e-6)
    assert maps.any()


def test_another_class_s_map_is_the_one_toward_it(trained_explainer, images):
    answers = trained_explainer.predict(images).argmax(-1)
    classes = np.where(np.arange(5) < 2, answers, (answers + 1) % 10)
    maps = attribute(trained_explainer, images, classes, confidence=0.2)
    toward = trained_explainer.explain(images[2:], classes[2:], confidence=0.2, saliency="relevance", residual=True)
    np.testing.assert_allclose(maps[2:], -toward.saliency, atol=1e-5)
    np.testing.assert_allclose(maps[:2], attribute(trained_explainer, images[:2], confidence=0.2), atol=1e-5)


def test_quantus_and_captum_get_the_same_maps_in_their_shapes(trained_explainer, images):
    maps = attribute(trained_explainer, images, **EASY)
    inputs = images.transpose(0, 3, 1, 2)
    answers = trained_explainer.predict(images).argmax(-1)
    found = quantus_explain_func(trained_explainer, **EASY)(None, inputs, answers, device="cpu")
    np.testing.assert_allclose(found, maps[:, None], atol=1e-6)
    found = Attribution(trained_explainer, **EASY).attribute(inputs)
    assert found.shape == inputs.shape
    np.testing.assert_allclose(found[:, 0], maps, atol=1e-6)
    class_3 = Attribution(trained_explainer, **EASY).attribute(inputs, target=3)
    np.testing.assert_allclose(class_3[:, 0], attribute(trained_explainer, images, np.full(5, 3), **EASY), atol=1e-6)


def test_captum_s_way_gives_tensors_for_tensors(trained_explainer, images):
    torch = pytest.importorskip("torch")
    inputs = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    found = Attribution(trained_explainer, **EASY).attribute(inputs, target=torch.tensor([3] * 5))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found[:, 0], attribute(trained_explainer, images, np.full(5, 3), **EASY), atol=1e-6)
