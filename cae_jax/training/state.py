"""The whole state of a training run, as one flat record."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from cae_jax.models import CAE, Discriminator, LeakageProbe, apply

Params = Any


@flax.struct.dataclass
class TrainState:
    """Everything that a step changes, and everything that a checkpoint keeps.

    Attributes:
        step: steps done, int32.
        key: the run's key; step n draws from `fold_in(key, n)`.
        generator: parameters of the `CAE`.
        critics: parameters of its adversaries, under 'discriminator' and, where there is one, 'probe'.
        generator_optimizer: optax state.
        critics_optimizer: optax state.
        ema: exponential moving average of `generator`, used for evaluation and explanation.
    """

    step: jax.Array
    key: jax.Array
    generator: Params
    critics: Params
    generator_optimizer: optax.OptState
    critics_optimizer: optax.OptState
    ema: Params


def create_state(
    key: jax.Array,
    model: CAE,
    discriminator: Discriminator,
    probe: LeakageProbe | None,
    generator_optimizer: optax.GradientTransformation,
    critics_optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
) -> TrainState:
    """Initialises all parameters and optimizers.

    Args:
        key: typed PRNG key; the run's key and the initial parameters derive from it.
        model: the generator.
        discriminator: the discriminator.
        probe: the leakage probe, or None.
        generator_optimizer: of the generator.
        critics_optimizer: of discriminator and probe.
        image_shape: padded height, width, channels.
    """
    run_key, generator_key, discriminator_key, probe_key = jax.random.split(key, 4)
    images = jnp.zeros((1, *image_shape))
    generator = model.init(generator_key, images)["params"]
    critics = {"discriminator": discriminator.init(discriminator_key, images)["params"]}
    if probe is not None:
        individual_code, _ = apply(model, generator, images, method="encode")
        critics["probe"] = probe.init(probe_key, individual_code)["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=run_key,
        generator=generator,
        critics=critics,
        generator_optimizer=generator_optimizer.init(generator),
        critics_optimizer=critics_optimizer.init(critics),
        ema=jax.tree.map(jnp.copy, generator),
    )
