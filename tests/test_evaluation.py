"""Scores of a generator, on models whose answers are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.data import ArraySource
from cae_jax.training.checkpointer import validation_score
from cae_jax.training.evaluation import Evaluator
from cae_jax.training.functions import Functions

LABELS = np.arange(20, dtype=np.int32) % 2


def scores_of(decode):
    """Of a model on images that are grey, of a brightness for each class, with a corner of their own."""
    images = np.full((20, 4, 4, 1), 40, np.uint8) + 120 * LABELS[:, None, None, None].astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(20)
    source = ArraySource(images, LABELS)

    def encode(params, images):
        return jnp.asarray(images, jnp.float32) / 255, jnp.asarray(images, jnp.float32)[:, 3, 3] / 255

    def predict(images):
        bright = (jnp.asarray(images)[:, 3, 3, 0] > 0.3).astype(jnp.float32)
        return jnp.stack([1 - bright, bright], -1)

    functions = Functions(
        encode,
        encode,
        lambda params, individual, code: decode(individual, code),
        lambda params, images: images,
        predict,
        predict,
    )
    return Evaluator(functions, source, LABELS, source, LABELS, seed=0).validate(None)


def only_a_pixel(individual, code):
    return jnp.asarray(individual).at[:, 3, 3].set(code)


def the_whole_image(individual, code):
    return jnp.broadcast_to(code[:, None, None], individual.shape)


def test_a_swap_s_change_is_a_share_of_what_tells_the_donor_from_the_exemplar():
    few, many = scores_of(only_a_pixel), scores_of(the_whole_image)
    assert few["swap_flip_rate"] == many["swap_flip_rate"] == 1.0
    assert few["swap_change"] == pytest.approx(1 / 15, rel=0.02)  # the corner differs by little
    assert 1.0 <= many["swap_change"] < 1.1


def test_of_two_checkpoints_that_flip_alike_the_one_that_changes_less_is_better():
    few, many = scores_of(only_a_pixel), scores_of(the_whole_image)
    assert few["swap_probability"] == many["swap_probability"]
    assert validation_score(few) > validation_score(many)


def test_where_swaps_must_change_much_a_little_less_of_it_does_not_outweigh_the_rest():
    names = ("swap_probability", "reconstruction_probability", "reconstruction_l1", "swap_change")
    runs = (0.920, 0.911, 0.068, 0.731), (0.931, 0.961, 0.047, 0.778)  # of X-rays; the oracle saw through the first
    early, late = (validation_score(dict(zip(names, values, strict=True))) for values in runs)
    assert late > early
