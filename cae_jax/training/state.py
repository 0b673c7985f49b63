"""The whole state of a training run, as one flat record."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from cae_jax.models import CAE, Discriminator

Params = Any


@flax.struct.dataclass
class TrainState:
    """Everything that a step changes, and everything that a checkpoint keeps.

    Attributes:
        step: steps done, int32.
        key: the run's key; step n draws from `fold_in(key, n)`.
        generator: parameters of the `CAE`.
        discriminator: parameters of its adversary.
        generator_optimizer: optax state.
        discriminator_optimizer: optax state.
        ema: exponential moving average of `generator`, used for evaluation and explanation.
    """

    step: jax.Array
    key: jax.Array
    generator: Params
    discriminator: Params
    generator_optimizer: optax.OptState
    discriminator_optimizer: optax.OptState
    ema: Params


def create_state(
    key: jax.Array,
    model: CAE,
    discriminator: Discriminator,
    generator_optimizer: optax.GradientTransformation,
    discriminator_optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
) -> TrainState:
    """Initialises all parameters and optimizers.

    Args:
        key: typed PRNG key; the run's key and the initial parameters derive from it.
        model: the generator.
        discriminator: the discriminator.
        generator_optimizer: of the generator.
        discriminator_optimizer: of the discriminator.
        image_shape: padded height, width, channels.
    """
    run_key, generator_key, discriminator_key = jax.random.split(key, 3)
    images = jnp.zeros((1, *image_shape))
    generator = model.init(generator_key, images)["params"]
    judge = discriminator.init(discriminator_key, images)["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=run_key,
        generator=generator,
        discriminator=judge,
        generator_optimizer=generator_optimizer.init(generator),
        discriminator_optimizer=discriminator_optimizer.init(judge),
        ema=jax.tree.map(jnp.copy, generator),
    )
