"""Counterfactual baselines on classifiers whose nearest counterfactuals are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax import baselines
from cae_jax.baselines import WhiteBox

SHAPE = (4, 4, 1)
RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=SHAPE).astype(np.float32) * 2.0
BIAS = np.float32(-WEIGHTS.sum() / 2)
IMAGES = RNG.uniform(0.4, 0.6, (6, *SHAPE)).astype(np.float32)
ONES = np.ones(6, int)
CONFIDENT = np.log(9.0)  # the score at which a probability is 0.9


def logits(images):
    """Class 1 has the score w x + b, class 0 none; class 2 nobody ever gets."""
    score = (images * WEIGHTS[None]).sum((1, 2, 3)) + BIAS
    return jnp.stack([jnp.zeros_like(score), score, jnp.full_like(score, -1e4)], -1)


def predict(images):
    return jax.nn.softmax(logits(images))


def probability(images):
    return np.asarray(predict(images))[:, 1]


LENGTHS = np.sqrt(np.square(IMAGES).sum((1, 2, 3)))


def search(images, targets, confidence=0.9, **options):
    return baselines.pixel_search(WhiteBox(logits=logits), images, targets, confidence=confidence, steps=80, **options)


def length(change):
    return np.sqrt(np.square(change).sum((1, 2, 3)))


def nearest(images):
    """Of the images in [0, 1] at which class 1 has the confidence: along the weights, clipped, as far as it takes."""
    low, high = np.zeros(len(images)), np.full(len(images), 10.0)
    for _ in range(60):
        middle = (low + high) / 2
        found = np.clip(images + middle[:, None, None, None] * WEIGHTS, 0.0, 1.0)
        reached = (found * WEIGHTS).sum((1, 2, 3)) + BIAS >= CONFIDENT
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return found


@pytest.mark.parametrize("darker", [0.0, 0.5])
def test_pixel_search_finds_the_nearest_point_of_a_linear_classifier(darker):
    images = np.maximum(IMAGES - np.float32(darker), 0.0)
    found, ideal = search(images, ONES), nearest(images)
    assert ((ideal == 0.0).mean() > 0.2) == (darker > 0)  # whether the range is in the way
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    assert (probability(found) >= 0.9).all()
    assert (length(found - images) <= 1.02 * length(ideal - images)).all()
    np.testing.assert_allclose(found, ideal, atol=0.02)
    assert found.dtype == np.float32


def test_pixel_search_leaves_alone_what_has_the_target():
    bright = np.where(WEIGHTS > 0, 1.0, 0.0).astype(np.float32)[None]
    np.testing.assert_array_equal(search(bright, ONES[:1]), bright)


def test_pixel_search_returns_an_image_where_there_is_no_way():
    found = search(IMAGES, np.full(6, 2))
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    assert (np.asarray(predict(found))[:, 2] < 0.9).all()


def test_pixel_search_takes_each_image_by_itself():
    targets = np.asarray([1, 0, 2, 1, 1, 0])
    whole = search(IMAGES, targets)
    np.testing.assert_allclose(search(IMAGES[::-1], targets[::-1])[::-1], whole, atol=1e-5)
    np.testing.assert_allclose(search(IMAGES, targets, batch_size=4), whole, atol=1e-5)


def test_scores_that_are_not_finite_are_reported():
    def broken(images):
        return logits(images) * jnp.where(images[:, :1, 0, 0] > IMAGES[2, 0, 0, 0], 1.0, jnp.nan)

    row = int((IMAGES[:, 0, 0, 0] <= IMAGES[2, 0, 0, 0]).argmax())
    with pytest.raises(ValueError, match=f"logits must be finite .* for image {row}"):
        baselines.pixel_search(WhiteBox(logits=broken), IMAGES, ONES, confidence=0.9, steps=2)


def brute_force(images, targets, pool, probabilities, confidence):
    rows = []
    for image, target in zip(images, targets, strict=True):
        distances = np.square(pool - image).sum((1, 2, 3))
        distances[probabilities[:, target] < confidence] = np.inf
        rows.append(distances.argmin() if np.isfinite(distances).any() else probabilities[:, target].argmax())
    return pool[rows]


def test_the_nearest_unlike_neighbour_is_the_nearest_confident_image():
    pool = RNG.uniform(size=(50, *SHAPE)).astype(np.float32)
    answers = RNG.dirichlet(np.full(3, 0.3), 50)
    answers[:, 2] = np.minimum(answers[:, 2], 0.8)  # nobody is confidently of class 2
    targets = np.asarray([0, 1, 2, 0, 1, 2])
    found = unlike(IMAGES, targets, pool, answers)
    np.testing.assert_array_equal(found, brute_force(IMAGES, targets, pool, answers, 0.9))
    turned = unlike(IMAGES[::-1], targets[::-1], pool, answers)
    np.testing.assert_array_equal(turned[::-1], found)


def unlike(images, targets, pool, answers, confidence=0.9):
    """The search among a pool that a classifier answers so."""
    classifier = WhiteBox(lambda _: answers)
    return baselines.nearest_unlike_neighbour(classifier, images, targets, pool=pool, confidence=confidence)


def test_a_pool_that_does_not_fit_is_refused():
    pool, answers = IMAGES, np.asarray(predict(IMAGES))
    for bad, message in (
        ((pool[:, :3], answers), "pool must have images of shape"),
        ((pool[:0], answers[:0]), "pool images must be"),
        ((pool, answers[:4]), "answers to the pool must be finite"),
        ((pool, answers * np.nan), "answers to the pool must be finite"),
        ((pool, answers[:, :1]), "targets must be from 0 to 0"),
    ):
        with pytest.raises(ValueError, match=message):
            unlike(IMAGES, ONES, *bad)


PLAIN = baselines.Autoencoder(None, lambda x: x.reshape(len(x), -1), lambda z: z.reshape(-1, *SHAPE))


def shift(logits, images, targets, confidence=0.9):
    return baselines.latent_shift(WhiteBox(logits=logits), images, targets, autoencoder=PLAIN, confidence=confidence)


@pytest.mark.usefixtures("strict")
def test_latent_shift_goes_along_the_gradient_until_the_target_is_confident():
    found = shift(logits, IMAGES, ONES)
    missing = CONFIDENT - np.asarray(logits(IMAGES))[:, 1]
    ideal = IMAGES + (missing / np.square(WEIGHTS).sum())[:, None, None, None] * WEIGHTS[None]
    np.testing.assert_allclose(found, ideal, atol=2e-3)
    assert (probability(found) >= 0.9).all()


@pytest.mark.usefixtures("strict")
def test_latent_shift_that_never_gets_there_ends_where_the_target_was_most_probable():
    def hill(images):
        """Class 1 is most probable, 0.6, where the image is twice as long as IMAGES; it never becomes confident."""
        share = 0.6 - 0.1 * jnp.square(jnp.sqrt(jnp.square(images).sum((1, 2, 3))) - 2.0 * LENGTHS)
        return jnp.log(jnp.maximum(jnp.stack([1.0 - share, share], -1), 1e-30))

    found = shift(hill, IMAGES, ONES)
    np.testing.assert_allclose(found, 2.0 * IMAGES, rtol=1e-4)
    away = shift(logits, IMAGES, np.full(6, 2))
    np.testing.assert_array_equal(away, IMAGES)  # no slope, no direction


@pytest.mark.usefixtures("strict")
def test_latent_shift_leaves_a_reconstruction_that_has_the_target():
    bright = np.where(WEIGHTS > 0, 1.0, 0.0).astype(np.float32)[None].repeat(6, 0)
    np.testing.assert_array_equal(shift(logits, bright, ONES), bright)


@pytest.mark.parametrize("confidence", [0.0, 1.5, np.nan])
def test_a_confidence_that_nobody_can_reach_is_refused(confidence):
    for call in (
        lambda: search(IMAGES, ONES, confidence=confidence),
        lambda: shift(logits, IMAGES, ONES, confidence),
        lambda: unlike(IMAGES, ONES, IMAGES, np.asarray(predict(IMAGES)), confidence),
    ):
        with pytest.raises(ValueError, match="confidence must lie"):
            call()


@pytest.mark.parametrize("targets", [np.full(6, 3), np.ones(5, int), np.ones(6)])
def test_targets_that_do_not_fit_are_refused(targets):
    for call in (
        lambda: search(IMAGES, targets),
        lambda: shift(logits, IMAGES, targets),
        lambda: unlike(IMAGES, targets, IMAGES, np.asarray(predict(IMAGES))),
    ):
        with pytest.raises(ValueError, match="targets must be"):
            call()


STRIPES = RNG.uniform(size=(64, 1, 9, 1)).repeat(6, 1).repeat(3, 3).astype(np.float32)  # one grey value a column


def fit(seed):
    """Sides of 6 and 9 are padded inside."""
    return baselines.fit_autoencoder(STRIPES, seed=seed, steps=150, size=12, width=8, learning_rate=1e-2)


@pytest.fixture(scope="module")
def autoencoder(optimised):
    with optimised():
        return fit(0)


def test_an_autoencoder_learns_to_draw_simple_images(autoencoder):
    drawn = autoencoder.reconstruct(STRIPES)
    assert drawn.shape == STRIPES.shape
    assert 0.0 <= drawn.min() < drawn.max() <= 1.0
    assert np.square(drawn - STRIPES).mean() < 0.3 * STRIPES.var()
    assert autoencoder.encode(jnp.asarray(STRIPES[:2])).shape == (2, 12)


@pytest.mark.usefixtures("compiled_well")
def test_an_autoencoder_is_a_function_of_its_seed(autoencoder):
    kernels = [np.asarray(fitted.params["encoder"]["Dense_0"]["kernel"]) for fitted in (autoencoder, fit(0), fit(1))]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert (kernels[0] != kernels[2]).any()
