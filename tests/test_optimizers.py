"""The optimizer against PyTorch's Adam written out in numpy, and the schedules by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cae_jax.training.build import learning_rate_schedule, make_optimizer


def coupled_adam(weights, gradients, rate, l2):
    """What torch.optim.Adam(betas=(0.5, 0.999), eps=1e-8, weight_decay=l2) documents, in float64."""
    first = second = np.zeros_like(weights)
    for step, gradient in enumerate(gradients, 1):
        gradient = gradient + l2 * weights
        first = 0.5 * first + 0.5 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        weights = weights - rate * first / (1 - 0.5**step) / corrected
    return weights


def run(optimizer, weights, gradients):
    params = jnp.asarray(weights, jnp.float32)
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
    return np.asarray(params)


def test_l2_is_added_to_the_gradient_before_the_moments():
    rng = np.random.default_rng(0)
    weights, gradients = rng.normal(size=4), rng.normal(size=(5, 4))
    expected = coupled_adam(weights, gradients, 0.01, 0.3)
    np.testing.assert_allclose(run(make_optimizer(0.01, 0.3), weights, gradients), expected, atol=1e-5)
    decoupled = run(optax.adamw(0.01, b1=0.5, b2=0.999, weight_decay=0.3), weights, gradients)
    assert np.abs(decoupled - expected).max() > 1e-3


def test_without_l2_it_is_plain_adam():
    rng = np.random.default_rng(1)
    weights, gradients = rng.normal(size=4), rng.normal(size=(5, 4))
    expected = coupled_adam(weights, gradients, 0.01, 0.0)
    np.testing.assert_allclose(run(make_optimizer(0.01, 0.0), weights, gradients), expected, atol=1e-5)


def test_long_gradients_are_scaled_to_the_limit_and_short_ones_left():
    weights, gradients = np.ones(2), np.asarray([[0.3, 0.4], [30.0, -40.0], [0.0, 0.1]])
    expected = coupled_adam(weights, [[0.3, 0.4], [0.6, -0.8], [0.0, 0.1]] * np.ones((3, 2)), 0.01, 0.0)
    np.testing.assert_allclose(run(make_optimizer(0.01, 0.0, clip=1.0), weights, gradients), expected, atol=1e-5)


def test_the_rate_follows_the_schedule():
    gradients = np.ones((3, 1))  # Adam moves by the rate itself while the gradient is constant
    moved = run(make_optimizer(lambda step: 0.1 / (step + 1), 0.0), np.zeros(1), gradients)
    np.testing.assert_allclose(moved, [-(0.1 + 0.05 + 0.1 / 3)], rtol=1e-5)


def test_halving_halves_ten_times_over_a_run():
    schedule = learning_rate_schedule("halving", 1e-4, 200_000)
    for times in range(10):
        for step in (times * 20_000, times * 20_000 + 19_999):
            assert float(schedule(step)) == pytest.approx(1e-4 / 2**times, rel=1e-5)
    assert float(schedule(200_000)) == pytest.approx(1e-4 / 1024, rel=1e-5)


@pytest.mark.parametrize("name", ["halving", "cosine"])
@pytest.mark.parametrize("steps", [1, 3, 100])
def test_schedules_are_positive_and_at_most_the_peak_also_for_short_runs(name, steps):
    schedule = learning_rate_schedule(name, 0.5, steps)
    rates = [float(schedule(step)) for step in range(steps + 1)]
    assert all(0.0 < rate <= 0.5 + 1e-6 for rate in rates)


def test_cosine_warms_up_to_the_peak_and_falls_to_two_percent():
    schedule = learning_rate_schedule("cosine", 1.0, 1000)
    assert float(schedule(0)) == pytest.approx(0.1)
    assert float(schedule(20)) == pytest.approx(1.0)
    assert float(schedule(510)) == pytest.approx(0.51, abs=1e-3)
    assert float(schedule(1000)) == pytest.approx(0.02, rel=1e-3)


@pytest.mark.parametrize("steps", [100, 1200, 200_000])
def test_schedules_of_any_length_are_one_program_and_those_of_the_library(steps):
    of_library = {
        "halving": optax.exponential_decay(0.5, steps // 10, 0.5, staircase=True),
        "cosine": optax.warmup_cosine_decay_schedule(0.05, 0.5, steps // 50, steps, 0.01),
        "one cycle": optax.cosine_onecycle_schedule(steps, 0.5),
    }
    counts = np.unique(np.linspace(0, steps, 40).astype(int))
    for name, expected in of_library.items():
        rate = lambda steps, count, name=name: learning_rate_schedule(name, 0.5, steps)(count)  # noqa: E731
        rates = jax.jit(jax.vmap(rate, in_axes=(None, 0)))(steps, counts)
        np.testing.assert_allclose(rates, [expected(count) for count in counts], rtol=1e-5, atol=1e-7)


def test_an_unknown_schedule_is_refused_by_name():
    with pytest.raises(ValueError, match=r"optimizer\.schedule must be 'halving' or 'cosine', not 'step'"):
        learning_rate_schedule("step", 1.0, 10)
