"""The losses against values by hand, plain numpy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from cae_jax import losses

pytestmark = pytest.mark.usefixtures("strict")

IMAGE_LOSSES = (losses.image_reconstruction_loss, losses.cycle_loss, losses.individual_code_loss)


@pytest.mark.parametrize("loss", IMAGE_LOSSES, ids=lambda loss: loss.__name__)
def test_image_shaped_losses_are_mean_absolute_differences_per_sample(loss):
    a, b = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
    expected = [np.abs(a[i] - b[i]).sum() / 40 for i in range(3)]
    np.testing.assert_allclose(loss(jnp.asarray(a), jnp.asarray(b)), expected, rtol=1e-5)


def test_class_code_loss_by_hand():
    value = losses.class_code_loss(jnp.asarray([[1.0, 2.0], [0.0, 0.0]]), jnp.asarray([[1.0, -2.0], [3.0, 1.0]]))
    np.testing.assert_allclose(value, [2.0, 2.0])


def test_squared_error_by_hand():
    prediction = jnp.asarray([0.0, 1.0, 2.0, 3.0]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(losses.squared_error(prediction, jnp.ones((1, 2, 2, 1))), [(1 + 0 + 1 + 4) / 4])


@pytest.mark.parametrize(
    "loss", [losses.class_code_loss, losses.individual_code_loss, losses.image_reconstruction_loss, losses.cycle_loss]
)
def test_the_gradient_reaches_both_sides(loss):
    shape = (2, 3) if loss is losses.class_code_loss else (2, 2, 2, 3)
    a, b = jnp.full(shape, 2.0), jnp.zeros(shape)
    to_a, to_b = jax.grad(lambda a, b: loss(a, b).sum(), argnums=(0, 1))(a, b)
    each = 1.0 / np.prod(shape[1:])
    np.testing.assert_allclose(to_a, np.full(shape, each), rtol=1e-6)
    np.testing.assert_allclose(to_b, np.full(shape, -each), rtol=1e-6)


def test_cross_entropy_is_the_negative_log_softmax():
    logits = np.random.default_rng(0).normal(0.0, 5.0, (6, 4)).astype(np.float32)
    labels = np.asarray([0, 1, 2, 3, 0, 1], np.int32)
    expected = -scipy.special.log_softmax(logits.astype(np.float64), axis=-1)[np.arange(6), labels]
    np.testing.assert_allclose(losses.cross_entropy(jnp.asarray(logits), jnp.asarray(labels)), expected, rtol=1e-4)


def test_cross_entropy_of_probabilities_by_hand():
    probabilities = jnp.asarray([[0.5, 0.5], [0.1, 0.9]])
    value = losses.probability_cross_entropy(probabilities, jnp.asarray([1, 1]))
    np.testing.assert_allclose(value, [np.log(2.0), -np.log(0.9)], rtol=1e-5)


def test_a_probability_of_zero_costs_a_finite_amount_with_a_finite_gradient():
    probabilities, labels = jnp.asarray([[1.0, 0.0]]), jnp.asarray([1])
    np.testing.assert_allclose(losses.probability_cross_entropy(probabilities, labels), [30 * np.log(10.0)], rtol=1e-5)
    gradient = jax.grad(lambda p: losses.probability_cross_entropy(p, labels).sum())(probabilities)
    assert np.isfinite(gradient).all()


def test_confusion_is_zero_on_uniform_logits_and_a_divergence_elsewhere():
    np.testing.assert_allclose(losses.confusion_to_uniform(jnp.full((2, 7), 3.0)), [0.0, 0.0], atol=1e-6)
    logits = np.random.default_rng(0).normal(0.0, 2.0, (5, 4)).astype(np.float32)
    probabilities = scipy.special.softmax(logits.astype(np.float64), axis=-1)
    expected = (0.25 * np.log(0.25 / probabilities)).sum(-1)
    np.testing.assert_allclose(losses.confusion_to_uniform(jnp.asarray(logits)), expected, rtol=1e-4)


def naive_neighbourhood(codes, labels):
    values = []
    for i in range(len(codes)):
        same = everyone = 0.0
        for j in range(len(codes)):
            if j != i:
                similarity = np.exp(-np.square(codes[i] - codes[j]).sum())
                everyone += similarity
                same += similarity * (labels[i] == labels[j])
        values.append(-np.log(same / everyone) if same else 0.0)
    return values


def test_neighbourhood_loss_equals_a_double_loop():
    rng = np.random.default_rng(0)
    codes = rng.normal(0.0, 0.7, (9, 3)).astype(np.float32)
    labels = np.asarray([0, 0, 1, 1, 1, 2, 2, 0, 3], np.int32)  # 3 is alone
    value = losses.neighbourhood_loss(jnp.asarray(codes), jnp.asarray(labels))
    np.testing.assert_allclose(value, naive_neighbourhood(codes.astype(np.float64), labels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 1, 2], [0, 0, 0]])
def test_neighbourhood_loss_has_the_gradient_of_finite_differences_also_for_lonely_labels(labels):
    codes = np.random.default_rng(1).normal(size=(3, 2))
    gradient = jax.grad(lambda c: losses.neighbourhood_loss(c, jnp.asarray(labels)).sum())(
        jnp.asarray(codes, jnp.float32)
    )
    expected = np.zeros_like(codes)
    for index in np.ndindex(codes.shape):
        step = np.zeros_like(codes)
        step[index] = 1e-5
        expected[index] = np.sum(naive_neighbourhood(codes + step, labels)) - np.sum(
            naive_neighbourhood(codes - step, labels)
        )
    np.testing.assert_allclose(gradient, expected / 2e-5, atol=1e-3)


def test_neighbourhood_loss_is_finite_for_codes_far_apart():
    codes = jnp.asarray([[0.0], [50.0], [100.0], [150.0]])
    labels = jnp.asarray([0, 1, 0, 1])
    value, gradient = jax.value_and_grad(lambda c: losses.neighbourhood_loss(c, labels).sum())(codes)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_gradient_penalty_of_a_linear_score_is_half_the_squared_norm_of_its_weights():
    weights = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    score = lambda images: jnp.einsum("bhwc,hwc->b", images, weights)  # noqa: E731
    images = jax.random.normal(jax.random.key(0), (3, 4, 3, 2))
    np.testing.assert_allclose(
        losses.gradient_penalty(score, images), np.full(3, 0.5 * np.square(weights).sum()), rtol=1e-5
    )


def test_gradient_penalty_of_a_quadratic_score_depends_on_each_sample_alone():
    images = jax.random.normal(jax.random.key(0), (3, 2, 2, 1))
    penalty = losses.gradient_penalty(lambda x: jnp.square(x).sum((1, 2, 3)), images)
    np.testing.assert_allclose(penalty, 2.0 * np.square(images).sum((1, 2, 3)), rtol=1e-5)
