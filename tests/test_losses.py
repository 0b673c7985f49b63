"""The losses against values by hand, plain numpy and closed forms."""

import itertools

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from cae_jax import losses

pytestmark = pytest.mark.usefixtures("strict")


def test_absolute_errors_are_mean_differences_per_sample():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
    expected = [np.abs(a[i] - b[i]).sum() / 40 for i in range(3)]
    np.testing.assert_allclose(losses.absolute_error(jnp.asarray(a), jnp.asarray(b)), expected, rtol=1e-5)


def test_absolute_error_of_codes_by_hand():
    value = losses.absolute_error(jnp.asarray([[1.0, 2.0], [0.0, 0.0]]), jnp.asarray([[1.0, -2.0], [3.0, 1.0]]))
    np.testing.assert_allclose(value, [2.0, 2.0])


def test_squared_error_by_hand():
    prediction = jnp.asarray([0.0, 1.0, 2.0, 3.0]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(losses.squared_error(prediction, jnp.ones((1, 2, 2, 1))), [(1 + 0 + 1 + 4) / 4])


@pytest.mark.parametrize("shape", [(3, 28, 20, 1), (2, 12, 31, 3), (2, 6, 9, 1)], ids=["grey", "colour", "small"])
def test_structure_lacks_what_convolutions_find_and_its_gradient_is_finite_where_nothing_varies(shape):
    rng = np.random.default_rng(0)
    target = rng.random(shape, dtype=np.float32)
    target[:, : shape[1] // 2] = 0.0
    prediction = np.where(target > 0, np.clip(target + 0.1 * rng.normal(size=shape), 0, 1), 0).astype(np.float32)
    prediction[0] = target[0]
    drawn, real = jnp.asarray(2 * prediction - 1), jnp.asarray(2 * target - 1)
    loss = losses.structure_loss(drawn, real)
    side = min(shape[1:3])
    with jax.numpy_dtype_promotion("standard"):  # that library's own windows add floats to whole numbers
        expected = 1 - dm_pix.ssim(prediction, target, filter_size=min(11, side - 1 + side % 2))
    np.testing.assert_allclose(loss, expected, atol=2e-6)
    assert (np.asarray(loss)[1:] > 0.01).all()
    slope = jax.grad(lambda drawn: losses.structure_loss(drawn, real).sum())(drawn)
    assert np.isfinite(slope).all()
    assert np.abs(slope[1:]).max() > 1e-5


@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 2, 3)], ids=["codes", "images"])
def test_the_gradient_reaches_both_sides(shape):
    a, b = jnp.full(shape, 2.0), jnp.zeros(shape)
    to_a, to_b = jax.grad(lambda a, b: losses.absolute_error(a, b).sum(), argnums=(0, 1))(a, b)
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


def test_divergence_of_predictions_by_hand():
    reference = jnp.asarray([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0], [0.25, 0.75]])
    predictions = jnp.asarray([[0.25, 0.75], [0.5, 0.5], [0.5, 0.5], [0.25, 0.75]])
    expected = [
        0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75),
        0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5),
        np.log(2.0),  # what the reference rules out weighs nothing
        0.0,
    ]
    np.testing.assert_allclose(losses.prediction_divergence(reference, predictions), expected, rtol=1e-5, atol=1e-7)
    turned = losses.prediction_divergence(predictions, reference)
    np.testing.assert_allclose(turned[1], 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1), rtol=1e-5)


def test_divergence_and_its_gradient_are_finite_where_a_prediction_has_no_chance():
    reference, predictions = jnp.asarray([[0.0, 1.0]]), jnp.asarray([[1.0, 0.0]])
    value, gradient = jax.value_and_grad(lambda p: losses.prediction_divergence(reference, p).sum())(predictions)
    assert float(value) == pytest.approx(30 * np.log(10.0), rel=1e-5)
    assert np.isfinite(gradient).all()


def naive_alignment(codes, labels):
    """The unbiased criterion of Song et al., from its definition as a sum over distinct quadruples of samples."""
    n = len(labels)
    flat = codes.reshape(n, -1)
    distances = np.square(flat[:, None] - flat[None]).sum(-1)
    width = distances.sum() / (n * (n - 1))
    k = sum(np.exp(-distances / (share * width)) for share in (1.0, 0.5, 0.25)) / 3.0
    m = (labels[:, None] == labels[None]).astype(float)

    def criterion(a, b):
        total, count = 0.0, 0
        for i, j, q, r in itertools.permutations(range(n), 4):
            total += a[i, j] * (b[i, j] + b[q, r] - 2.0 * b[i, q])
            count += 1
        return total / count

    return criterion(k, m) / np.sqrt(criterion(k, k) * criterion(m, m))


def test_dependence_equals_its_definition_over_quadruples():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(7, 2, 2, 3)).astype(np.float32)
    labels = np.asarray([0, 0, 1, 1, 1, 2, 0], np.int32)
    value = losses.dependence_loss(jnp.asarray(codes), jnp.asarray(labels))
    np.testing.assert_allclose(value, np.full(7, naive_alignment(codes.astype(np.float64), labels)), rtol=1e-3)


def test_dependence_is_zero_in_the_mean_of_unrelated_codes_and_near_one_of_separated_ones():
    rng = np.random.default_rng(1)
    labels = jnp.asarray(rng.integers(0, 3, (200, 16)), jnp.int32)
    noise = jnp.asarray(rng.normal(size=(200, 16, 5)), jnp.float32)
    values = jax.vmap(losses.dependence_loss)(noise, labels)[:, 0]
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(200) + 1e-3
    apart = noise * 0.01 + jax.nn.one_hot(labels, 5) * 10.0
    assert jax.vmap(losses.dependence_loss)(apart, labels).min() > 0.8


def test_dependence_sees_classes_that_differ_in_their_spread_alone():
    rng = np.random.default_rng(3)
    labels = jnp.asarray(np.tile([0, 1], (200, 16)), jnp.int32)
    codes = jnp.asarray(rng.normal(size=(200, 32, 8)), jnp.float32) * jnp.where(labels == 0, 0.3, 2.0)[..., None]
    assert jax.vmap(losses.dependence_loss)(codes, labels)[:, 0].mean() > 0.3


@pytest.mark.parametrize("codes", [np.zeros((6, 4)), np.eye(6)], ids=["equal", "equidistant"])
def test_dependence_and_its_gradient_are_finite_for_codes_without_structure(codes):
    labels = jnp.asarray([0, 1, 0, 1, 2, 2])
    value, gradient = jax.value_and_grad(lambda c: losses.dependence_loss(c, labels).sum())(
        jnp.asarray(codes, jnp.float32)
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_dependence_is_rounded_no_more_than_its_codes():
    rng = np.random.default_rng(2)
    labels = np.asarray([0, 1, 0, 2, 3, 1, 0, 2], np.int32)
    for _ in range(20):
        codes = rng.normal(rng.normal(size=(4, 4, 8)), 0.6, (8, 4, 4, 8)).astype(np.float32)
        value = losses.dependence_loss(jnp.asarray(codes), jnp.asarray(labels))[0]
        assert value == pytest.approx(naive_alignment(codes.astype(np.float64), labels), abs=1e-6)


def test_dependence_sees_small_differences_of_codes_that_have_much_in_common():
    rng = np.random.default_rng(1)
    codes = (1.0 + 2e-4 * rng.normal(size=(12, 4, 4, 8))).astype(np.float32)
    labels = rng.integers(0, 4, 12).astype(np.int32)
    loss = lambda c: losses.dependence_loss(c, jnp.asarray(labels)).mean()  # noqa: E731
    value, gradient = jax.value_and_grad(loss)(jnp.asarray(codes))
    assert value == pytest.approx(naive_alignment(codes.astype(np.float64), labels), abs=1e-3)
    assert np.isfinite(gradient).all()


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
