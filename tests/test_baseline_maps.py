"""Attribution methods on classifiers whose answers can be worked out by hand, and beside Captum's."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax import baselines
from cae_jax.baselines import WhiteBox
from cae_jax.baselines.occlusion import random_masks

pytestmark = pytest.mark.usefixtures("strict")

SHAPE = (8, 8, 2)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(5, *SHAPE)).astype(np.float32)
CLASSES = np.asarray([0, 2, 1, 1, 0])
WEIGHTS = RNG.normal(size=(*SHAPE, 3)).astype(np.float32)
OWN_WEIGHTS = np.moveaxis(WEIGHTS[..., CLASSES], -1, 0)  # of each image's class


def linear(images):
    return images.reshape(len(images), -1) @ jnp.asarray(WEIGHTS).reshape(-1, 3)


LINEAR = WhiteBox(logits=linear)


def curved(images):
    return jnp.tanh(linear(jnp.square(images)) / 4.0) + jnp.sin(linear(images))


def corner_logits(images):
    """The brighter the upper left corner, the more class 1; nothing else matters."""
    score = 10.0 * images[:, :4, :4].mean((1, 2, 3)) - 5.0
    return jnp.stack([jnp.zeros_like(score), score], -1)


def corner_tap(images, offset):
    """The layer has a feature at the corner only, two pixels wide cells."""
    cells = images.reshape(-1, 4, 2, 4, 2, 2).mean((2, 4, 5))[..., None]
    activation = cells.at[:, 2:].set(0.0).at[:, :, 2:].set(0.0) + offset
    score = activation[:, :2, :2].sum((1, 2, 3))
    return jnp.stack([jnp.zeros_like(score), score], -1), activation


@jax.jit
def corner_predict(images):
    return jax.nn.softmax(corner_logits(images))


def partition_shap(images, classes):
    pytest.importorskip("shap", reason="partition SHAP needs pip install 'cae_jax[benchmark]'")
    return baselines.partition_shap(WhiteBox(corner_predict), images, classes, evaluations=300)


METHODS = {
    "gradient": lambda x, c: baselines.gradient(WhiteBox(logits=corner_logits), x, c),
    "input_times_gradient": lambda x, c: baselines.input_times_gradient(WhiteBox(logits=corner_logits), x, c),
    "smooth_grad": lambda x, c: baselines.smooth_grad(WhiteBox(logits=corner_logits), x, c, seed=0, samples=4),
    "integrated_gradients": lambda x, c: baselines.integrated_gradients(WhiteBox(logits=corner_logits), x, c, steps=4),
    "grad_cam": lambda x, c: baselines.grad_cam(WhiteBox(tap=corner_tap), x, c),
    "grad_cam_plus_plus": lambda x, c: baselines.grad_cam_plus_plus(WhiteBox(tap=corner_tap), x, c),
    "occlusion": lambda x, c: baselines.occlusion(WhiteBox(corner_predict), x, c, patch=2, stride=1),
    "rise": lambda x, c: baselines.rise(WhiteBox(corner_predict), x, c, seed=0, masks=600, cells=4),
    "partition_shap": partition_shap,
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_of_a_classifier_that_looks_at_a_corner_the_map_lies_there(method):
    maps = method(IMAGES, np.ones(5, int))
    assert maps.shape == (5, 8, 8)
    assert maps.dtype == np.float32
    excess = np.maximum(maps - np.median(maps, (1, 2), keepdims=True), 0.0)  # RISE is nowhere 0
    assert (excess[:, :4, :4].sum((1, 2)) > 0.6 * excess.sum((1, 2))).all()
    assert (maps[:, :4, :4].mean((1, 2)) > maps[:, 5:, 5:].mean((1, 2)) + 1e-3).all()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_map_depends_neither_on_the_other_images_nor_on_the_run(method):
    classes = np.ones(5, int)
    maps = method(IMAGES, classes)
    np.testing.assert_array_equal(method(IMAGES, classes), maps)
    np.testing.assert_allclose(method(IMAGES[::-1], classes)[::-1], maps, atol=1e-6)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_bad_input_is_refused_by_name(method):
    for images, classes, message in (
        (IMAGES[0], np.ones(1, int), "images must be"),
        (IMAGES[:0], np.ones(0, int), "images must be"),
        (IMAGES * 255.0, np.ones(5, int), r"image 0 has values from .* must lie in \[0, 1\]; divide by 255"),
        (IMAGES * np.nan, np.ones(5, int), "image 0 has values that are not finite"),
        (IMAGES, np.ones(4, int), "classes must be 5 whole numbers"),
        (IMAGES, np.ones(5), "classes must be 5 whole numbers"),
        (IMAGES, np.full(5, 2), "classes must be from 0 to 1"),
        (IMAGES, np.full(5, -1), "classes must be from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            method(images, classes)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_batches_do_not_change_the_maps(batch_size):
    whole = baselines.integrated_gradients(WhiteBox(logits=curved), IMAGES, CLASSES, steps=8)
    split = baselines.integrated_gradients(WhiteBox(logits=curved), IMAGES, CLASSES, steps=8, batch_size=batch_size)
    np.testing.assert_allclose(split, whole, atol=1e-5)


def test_bytes_are_the_same_as_floats():
    as_bytes = np.round(IMAGES * 255).astype(np.uint8)
    maps = baselines.input_times_gradient(LINEAR, as_bytes, CLASSES)
    np.testing.assert_allclose(maps, baselines.input_times_gradient(LINEAR, as_bytes / 255.0, CLASSES), atol=1e-6)


def test_gradients_of_a_linear_classifier_are_its_weights():
    greatest = np.abs(OWN_WEIGHTS).max(-1)
    np.testing.assert_allclose(baselines.gradient(LINEAR, IMAGES, CLASSES), greatest, rtol=1e-5)
    np.testing.assert_allclose(
        baselines.smooth_grad(LINEAR, IMAGES, CLASSES, seed=0, samples=3),
        greatest,
        rtol=1e-5,
        atol=1e-6,
    )
    products = (IMAGES * OWN_WEIGHTS).sum(-1)
    np.testing.assert_allclose(baselines.input_times_gradient(LINEAR, IMAGES, CLASSES), products, atol=1e-5)


def test_integrated_gradients_of_a_linear_classifier_are_its_weights_times_the_way():
    baseline = RNG.uniform(size=SHAPE).astype(np.float32)
    for given in (baseline, np.asarray([0.25, 0.5]), 0.5):
        maps = baselines.integrated_gradients(LINEAR, IMAGES, CLASSES, baseline=given, steps=8)
        np.testing.assert_allclose(maps, ((IMAGES - given) * OWN_WEIGHTS).sum(-1), atol=1e-5)


def test_integrated_gradients_add_up_to_the_gain_in_score():
    maps = baselines.integrated_gradients(WhiteBox(logits=curved), IMAGES, CLASSES, baseline=0.5, steps=200)
    gains = (curved(IMAGES) - curved(np.full_like(IMAGES, 0.5)))[np.arange(5), CLASSES]
    np.testing.assert_allclose(maps.sum((1, 2)), gains, atol=2e-3)


def test_smooth_grad_is_the_mean_gradient_around_an_image():
    def squares(images):
        return linear(jnp.square(images))

    maps = baselines.smooth_grad(WhiteBox(logits=squares), IMAGES, CLASSES, seed=0, samples=400, sigma=0.1)
    expected = np.abs(2.0 * IMAGES * OWN_WEIGHTS).max(-1)
    assert 0.0 < np.abs(maps - expected).max() < 0.2  # 2 |w| sigma / sqrt(400), 5 standard errors
    other = baselines.smooth_grad(WhiteBox(logits=squares), IMAGES, CLASSES, seed=1, samples=400, sigma=0.1)
    assert np.abs(maps - other).max() > 1e-3


def test_smooth_grad_has_no_noise_where_the_image_has_no_range():
    flat = np.full_like(IMAGES, 0.5)
    found = baselines.smooth_grad(WhiteBox(logits=curved), flat, CLASSES, seed=0, samples=2)
    np.testing.assert_allclose(found, baselines.gradient(WhiteBox(logits=curved), flat, CLASSES), rtol=1e-4, atol=1e-5)


def tap_of(activation, slopes):
    """A layer that is always `activation` [h, w, features], and a class whose score has these slopes by it."""

    def tap(images, offset):
        layer = jnp.zeros((len(images), *np.shape(activation))) + jnp.asarray(activation)[None] + offset
        score = (layer * jnp.asarray(slopes)[None]).sum((1, 2, 3))
        return jnp.stack([score, -score], -1), layer

    return tap


ACTIVATION = np.asarray([[[1.0, 2.0], [0.0, 1.0]], [[0.0, 0.0], [3.0, 1.0]]], np.float32)
SLOPES = np.asarray([[[2.0, -1.0], [-1.0, -1.0]], [[0.0, -3.0], [1.0, -1.0]]], np.float32)


def test_grad_cam_by_hand():
    # mean slopes are 0.5 and -1.5
    image = np.zeros((1, 2, 2, 1), np.float32)
    maps = baselines.grad_cam(WhiteBox(tap=tap_of(ACTIVATION, SLOPES)), image, np.asarray([0]))
    np.testing.assert_allclose(maps, np.zeros((1, 2, 2)), atol=1e-6)  # 0.5 - 3, -1.5, 0, 1.5 - 1.5, rectified
    maps = baselines.grad_cam(WhiteBox(tap=tap_of(ACTIVATION, SLOPES)), image, np.asarray([1]))
    np.testing.assert_allclose(maps, [[[2.5, 1.5], [0.0, 0.0]]], atol=1e-6)


def test_grad_cam_plus_plus_by_hand():
    # The first channel's activations sum to 4: weights 1 / (2 + 4 * 2) and 1 / (2 + 4 * 1) of the slopes 2 and 1. The
    # second one never helps.
    image = np.zeros((1, 2, 2, 1), np.float32)
    maps = baselines.grad_cam_plus_plus(WhiteBox(tap=tap_of(ACTIVATION, SLOPES)), image, np.asarray([0]))
    weight = 2.0 / 10.0 + 1.0 / 6.0
    np.testing.assert_allclose(maps, [[[weight, 0.0], [0.0, 3.0 * weight]]], rtol=1e-5)


def test_grad_cam_is_enlarged_bilinearly():
    activation = np.asarray([[[1.0], [0.0]], [[1.0], [0.0]]], np.float32)
    tap = tap_of(activation, np.ones_like(activation))
    maps = baselines.grad_cam(WhiteBox(tap=tap), np.zeros((1, 4, 4, 1), np.float32), np.asarray([0]))
    np.testing.assert_allclose(maps[0], np.tile([1.0, 0.75, 0.25, 0.0], (4, 1)), atol=1e-6)


def test_a_tap_that_reads_no_feature_map_is_refused():
    with pytest.raises(ValueError, match="feature map"):
        baselines.grad_cam(WhiteBox(tap=lambda x, offset: (linear(x), linear(x) + offset)), IMAGES, CLASSES)


def mean_answer(images):
    """Not for JAX to trace: the probability of class 1 is the mean of the image."""
    mean = np.asarray(images).mean((1, 2, 3))
    return np.stack([1.0 - mean, mean], -1)


def test_occlusion_by_hand():
    image = np.asarray([[0.2, 0.4, 0.8, 1.0]], np.float32).reshape(1, 1, 4, 1).repeat(2, 1)
    maps = baselines.occlusion(WhiteBox(mean_answer), image, np.asarray([1]), patch=2, stride=1)
    drops = np.asarray([0.6, 1.2, 1.8]) / 4.0  # of the three windows, whose two rows are the same
    expected = [drops[0], drops[:2].mean(), drops[1:].mean(), drops[2]]
    np.testing.assert_allclose(maps[0], [expected, expected], atol=1e-6)
    other = baselines.occlusion(WhiteBox(mean_answer), image, np.asarray([0]), patch=2, stride=1)
    np.testing.assert_allclose(other, -maps, atol=1e-6)


def test_occlusion_reaches_the_border_and_paints_with_the_given_colour():
    image = np.full((1, 5, 3, 2), 0.5, np.float32)
    maps = baselines.occlusion(
        WhiteBox(mean_answer), image, np.asarray([1]), patch=2, stride=2, fill=np.asarray([0.25, 0.0])
    )
    np.testing.assert_allclose(maps, np.full((1, 5, 3), 4 * (0.25 + 0.5) / 30), atol=1e-6)


@pytest.mark.parametrize(("patch", "stride"), [(9, 1), (2, 3), (2, 0), (0, 0)])
def test_windows_that_do_not_cover_the_image_are_refused(patch, stride):
    with pytest.raises(ValueError, match="stride must be"):
        baselines.occlusion(WhiteBox(mean_answer), IMAGES, np.ones(5, int), patch=patch, stride=stride)


@pytest.mark.parametrize("fill", [np.zeros(3), np.zeros((4, 4, 2)), np.nan])
def test_a_colour_that_does_not_fit_is_refused(fill):
    with pytest.raises(ValueError, match="fill must be"):
        baselines.occlusion(WhiteBox(mean_answer), IMAGES, np.ones(5, int), fill=fill)


def test_masks_are_smooth_and_half_open_everywhere():
    masks = random_masks(3000, (8, 11), 4, seed=0)
    assert masks.shape == (3000, 8, 11)
    assert masks.min() >= 0.0
    assert masks.max() <= 1.0
    np.testing.assert_allclose(masks.mean(0), np.full((8, 11), 0.5), atol=0.04)
    assert np.abs(np.diff(masks, axis=2)).max() <= 1.0 / 3.0 + 1e-6  # cells are three wide


def test_rise_of_a_classifier_that_is_always_sure_of_the_same_is_that():
    maps = baselines.rise(WhiteBox(lambda x: np.full((len(x), 2), 0.5)), IMAGES, CLASSES // 2, seed=0, masks=2000)
    np.testing.assert_allclose(maps, np.full(maps.shape, 0.5), atol=0.05)


def test_rise_goes_with_the_weights_of_a_linear_answer():
    weights = np.kron(np.eye(2), np.ones((4, 4)))  # two quarters of the image matter

    def answer(images):
        share = (np.asarray(images).mean(-1) * weights).sum((1, 2)) / 64
        return np.stack([1.0 - share, share], -1)

    maps = baselines.rise(
        WhiteBox(answer), np.ones((1, 8, 8, 1), np.float32), np.asarray([1]), seed=0, masks=4000, cells=4
    )
    assert np.corrcoef(maps[0].ravel(), weights.ravel())[0, 1] > 0.8


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: baselines.smooth_grad(LINEAR, IMAGES, CLASSES, seed=0, samples=0), "samples"),
        (lambda: baselines.smooth_grad(LINEAR, IMAGES, CLASSES, seed=0, sigma=-1.0), "sigma"),
        (lambda: baselines.integrated_gradients(LINEAR, IMAGES, CLASSES, steps=0), "steps"),
        (lambda: baselines.rise(WhiteBox(mean_answer), IMAGES, CLASSES, seed=0, masks=0), "masks"),
        (lambda: baselines.gradient(LINEAR, IMAGES, CLASSES, batch_size=0), "batch_size"),
    ],
)
def test_numbers_that_must_be_positive_are_named(call, name):
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        call()


# Captum's maps, of versions that the file names.

EXPECTED = np.load(pathlib.Path(__file__).parent / "expected" / "baselines.npz")
STEPS, PATCH, STRIDE, FILL, BASELINE = EXPECTED["settings"]


def convolve(images, layer):
    kernel, bias = EXPECTED[f"kernel_{layer}"], EXPECTED[f"bias_{layer}"]
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(images, kernel, (1, 1), "VALID", dimension_numbers=layout) + bias.reshape(
        1, 1, 1, -1
    )


def expected_tap(images, offset):
    activation = convolve(jax.nn.relu(convolve(images, 0)), 1) + offset
    h = jax.nn.relu(activation).reshape(len(images), -1)
    return h @ EXPECTED["kernel_2"] + EXPECTED["bias_2"].reshape(1, -1), activation


def expected_logits(images):
    return expected_tap(images, 0.0)[0]


def expected_predict(images):
    return jax.nn.softmax(expected_logits(images))


COMPARED = {
    "gradient": lambda x, c: baselines.gradient(WhiteBox(logits=expected_logits), x, c),
    "input_times_gradient": lambda x, c: baselines.input_times_gradient(WhiteBox(logits=expected_logits), x, c),
    "integrated_gradients": lambda x, c: baselines.integrated_gradients(
        WhiteBox(logits=expected_logits), x, c, baseline=BASELINE, steps=int(STEPS)
    ),
    "grad_cam": lambda x, c: baselines.grad_cam(WhiteBox(tap=expected_tap), x, c),
    "occlusion": lambda x, c: baselines.occlusion(
        WhiteBox(expected_predict), x, c, patch=int(PATCH), stride=int(STRIDE), fill=FILL
    ),
}


@pytest.mark.parametrize("name", COMPARED)
def test_maps_are_captums(name):
    images, classes, wanted = EXPECTED["images"], EXPECTED["classes"], EXPECTED[name]
    np.testing.assert_allclose(expected_logits(images), EXPECTED["logits"], atol=1e-5)
    np.testing.assert_allclose(COMPARED[name](images, classes), wanted, atol=1e-4 * np.abs(wanted).max())
