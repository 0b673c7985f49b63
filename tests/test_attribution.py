"""One map an image, and the shapes in which Quantus and captum ask for it, of an explainer whose maps are known."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from cae_jax.errors import InputError
from cae_jax.explaining import Aim, Attribution, Explainer, attribute, quantus_explain_func
from cae_jax.options import ExplainOptions

ANSWERS = np.asarray([0, 2, 1, 0])
IMAGES = np.tile((ANSWERS / 4)[:, None, None, None], (1, 5, 3, 1)).astype(np.float32)
IMAGES[:, 1, 1] = np.arange(4)[:, None] / 8  # tells them apart


class Toy(Explainer):
    """Three classes. Its map of an image toward a class is one number all over, negative toward class 0."""

    record = SimpleNamespace(image_shape=(5, 3, 1), class_names=("none", "round", "square"))

    def __init__(self):
        self.asked = []

    def predict(self, images):
        """Probabilities: the first pixel says the class."""
        return np.eye(3)[np.round(images[:, 0, 0, 0] * 4).astype(int)]

    def explain_batches(self, images, target, **options):
        """Maps toward all other classes or one for each image, an image at a time, and notes how it was asked."""
        assert isinstance(target, (Aim, np.ndarray))  # a plain text may be the name of a class
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


def model_like(toy, change=0):
    """The toy's classifier as a model of the inputs' layout, its classes moved by so many."""
    return lambda inputs: np.roll(toy.predict(inputs.transpose(0, 2, 3, 1)), change, axis=1)


INPUTS = IMAGES.transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    "target",
    [
        np.asarray([[1], [1], [1], [1]]),
        np.eye(3)[[1] * 4],
        np.eye(3, dtype=bool)[[1] * 4],
        [1] * 4,
        np.int64(1),
        np.asarray([1]),
        1.0,
        "round",
        ["round"] * 4,
        np.asarray(["round"] * 4, object),
        "1",
    ],
    ids=[
        "column",
        "one-hot",
        "booleans",
        "list",
        "scalar",
        "one",
        "whole float",
        "name",
        "names",
        "names as objects",
        "number as text",
    ],
)
def test_targets_are_taken_in_the_shapes_that_callers_have(target):
    expected = attribute(Toy(), IMAGES, np.full(4, 1))
    np.testing.assert_array_equal(quantus_explain_func(Toy())(None, INPUTS, target)[:, 0], expected)
    np.testing.assert_array_equal(Attribution(Toy()).attribute(INPUTS, target)[:, 0], expected)


def test_options_given_as_numpy_s_numbers_can_be_written_to_a_file():
    options = ExplainOptions()
    for name, value in {"diverse": np.int64(3), "tolerance": np.float32(0.5)}.items():  # which type checks refuse here
        object.__setattr__(options, name, value)
    options.__post_init__()
    found = json.loads(json.dumps(dataclasses.asdict(options)))
    assert (found["diverse"], found["tolerance"], found["confidence"]) == (3, 0.5, "typical")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "class 3 does not exist; the classes are 0 to 2"),
        (-1, "class -1 does not exist"),
        (0.5, "by name or number"),
        (np.full((4, 3), 1 / 3), "one-hot"),
        ([1, 2], "2 targets do not go with 4 images"),
        (np.ones((4, 2), int), r"not \(4, 2\)"),
        ("oval", "'oval' does not exist; the classes are none, round, square"),
        ("Round", "did you mean 'round'"),
        ("all", "one class for each image"),
    ],
)
def test_targets_that_mean_nothing_are_refused_in_a_sentence(target, message):
    with pytest.raises(InputError, match=message):
        Attribution(Toy()).attribute(INPUTS, target)


def test_several_answers_toward_a_class_are_one_map():
    toy = Toy()  # whose second answer toward a class other than 0 is higher by 1
    maps = attribute(toy, IMAGES, np.asarray([0, 1, 0, 2]), diverse=2)
    own = np.mean([toward(0, 1) + 0.5, toward(0, 2) + 0.5])
    np.testing.assert_allclose(maps[:, 0, 0], [own, -toward(1, 1) - 0.5, -toward(2, 0), -toward(3, 2) - 0.5], rtol=1e-6)
    np.testing.assert_allclose(attribute(toy, IMAGES[1:2], diverse=2)[0, 0, 0], (toward(1, 0) + toward(1, 1) + 0.5) / 2)


def test_maps_are_of_the_inputs_size_and_keep_the_sum_of_relevance():
    large = INPUTS.repeat(2, 2).repeat(4, 3)
    expected = attribute(Toy(), IMAGES)
    for ask in (lambda: quantus_explain_func(Toy())(None, large, ANSWERS), lambda: Attribution(Toy()).attribute(large)):
        with pytest.warns(UserWarning, match="10×12 are resized to the trained 5×3"):
            maps = ask()
        assert maps.shape == (4, 1, 10, 12)
        np.testing.assert_allclose(maps.sum((1, 2, 3)), expected.sum((1, 2)), rtol=0.2)
    with pytest.warns(UserWarning, match="resized"):
        changes = attribute(Toy(), large.transpose(0, 2, 3, 1), saliency="reconstruction")
    expected = attribute(Toy(), IMAGES, saliency="reconstruction")
    np.testing.assert_allclose(changes.mean((1, 2)), expected.mean((1, 2)), rtol=0.2)


def test_noise_that_left_the_range_is_brought_back_on_request():
    noisy = INPUTS + np.where(np.arange(3) == 2, -0.2, 0.0).astype(np.float32)
    with pytest.raises(InputError, match=r"from -0\.2 to .*clip=True"):
        quantus_explain_func(Toy())(None, noisy, ANSWERS)
    np.testing.assert_array_equal(
        quantus_explain_func(Toy(), clip=True)(None, noisy, ANSWERS), attribute(Toy(), noisy.clip(0, 1)[:, 0])[:, None]
    )
    with pytest.raises(InputError, match="not normalised; hand them in as they are before that"):
        Attribution(Toy(), clip=True).attribute((INPUTS - 0.5) / 0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"baselines": 0}, "counterfactual.*leave baselines out"),
        ({"additional_forward_args": (1,)}, "images alone"),
        ({"return_convergence_delta": True}, "no convergence"),
        ({"n_steps": 50}, "no such argument; leave n_steps out"),
    ],
)
def test_captum_s_other_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(InputError, match=message):
        Attribution(Toy()).attribute(INPUTS, 1, **arguments)
    none = dict.fromkeys(arguments)
    np.testing.assert_array_equal(
        Attribution(Toy()).attribute(INPUTS, 1, **none), Attribution(Toy()).attribute(INPUTS, 1)
    )


def test_captum_s_metrics_hand_in_tuples_of_one_and_whole_numbers_are_no_maps():
    torch = pytest.importorskip("torch")
    (maps,) = Attribution(Toy()).attribute((torch.tensor(INPUTS),), 1)
    np.testing.assert_array_equal(maps[:, 0], attribute(Toy(), IMAGES, 1))
    pixels = (INPUTS * 255).round().astype(np.uint8)
    pixels[:, :, 0, 0] = np.round(255 * ANSWERS / 4)[:, None]
    found = Attribution(Toy()).attribute(torch.tensor(pixels), 1)
    assert found.is_floating_point()
    assert Attribution(Toy()).attribute(torch.tensor(INPUTS).bfloat16(), 1).dtype == torch.bfloat16


def test_the_model_of_a_metric_must_be_the_explainer_s_classifier():
    explain = quantus_explain_func(Toy())
    expected = explain(None, INPUTS, ANSWERS)
    np.testing.assert_array_equal(explain(model_like(Toy()), INPUTS, ANSWERS), expected)
    with pytest.raises(InputError, match=r"gives input 0 the class round, not none \(4 of 4 differ\).*randomise"):
        explain(model_like(Toy(), 1), INPUTS, ANSWERS)
    with pytest.raises(InputError, match="the model is a str"):
        explain("a model", INPUTS, ANSWERS)
    for model in (lambda inputs: 1 / 0, lambda inputs: np.ones((4, 7))):
        with pytest.warns(UserWarning, match=r"could not be compared .*(ZeroDivisionError|\(4, 7\))"):
            np.testing.assert_array_equal(explain(model, INPUTS, ANSWERS), expected)


def test_a_model_of_pytorch_is_asked_with_tensors():
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self, change):
            super().__init__()
            self.scale, self.change = torch.nn.Parameter(torch.ones(())), change

        def forward(self, inputs):
            classes = (inputs[:, 0, 0, 0] * 4).round().long() + self.change
            return self.scale * torch.nn.functional.one_hot(classes % 3, 3)

    assert quantus_explain_func(Toy())(Net(0), INPUTS, ANSWERS).shape == (4, 1, 5, 3)
    with pytest.raises(InputError, match="is not the explainer's classifier"):
        quantus_explain_func(Toy())(Net(1), INPUTS, ANSWERS)


@pytest.mark.parametrize("inputs", [INPUTS[0], IMAGES, INPUTS[:0]], ids=["one image", "channels last", "none"])
def test_inputs_of_another_layout_are_refused(inputs):
    with pytest.raises(InputError, match=r"inputs\[None\]|channel|N of 1 or more"):
        Attribution(Toy()).attribute(inputs)
