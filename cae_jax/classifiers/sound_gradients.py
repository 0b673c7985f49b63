"""A classifier as training differentiates it: nothing comes back through images that it has no number for."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cae_jax.types import Predict


def with_sound_gradients(predict: Predict) -> Predict:
    """The same classifier; its gradient at an image is 0 where the answer or the gradient itself is not finite.

    Such an image (a blank one, for a classifier that divides by the standard deviation) would else make the gradient of
    its whole batch NaN, whatever weight it has in the loss.
    """

    @jax.custom_vjp
    def sound(images: jax.Array) -> jax.Array:
        return predict(images)

    def forward(images: jax.Array) -> tuple[jax.Array, tuple[Callable, jax.Array]]:
        answers, pull_back = jax.vjp(predict, images)
        return answers, (pull_back, jnp.isfinite(answers).all(-1))

    def backward(kept: tuple[Callable, jax.Array], cotangent: jax.Array) -> tuple[jax.Array]:
        pull_back, answered = kept
        (gradient,) = pull_back(jnp.where(answered[:, None], cotangent, 0.0))
        finite = answered & jnp.isfinite(gradient).all((1, 2, 3))
        return (jnp.where(finite[:, None, None, None], gradient, 0.0),)

    sound.defvjp(forward, backward)
    return sound
