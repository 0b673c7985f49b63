"""The training state, and the training step: updates the discriminator, then the generator against the updated one."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from cae_jax import images as image_ranges
from cae_jax.data import Augment
from cae_jax.models import CAE, Discriminator
from cae_jax.training.objectives import (
    Networks,
    Params,
    Terms,
    Weights,
    discriminator_loss,
    generate,
    generator_loss,
)


@flax.struct.dataclass
class TrainState:
    """The training state: what a step changes and a checkpoint stores.

    Attributes:
        step: number of steps done, int32.
        key: PRNG key of the run; step n draws from `fold_in(key, n)`.
        generator: parameters of the generator, a `CAE`.
        discriminator: parameters of the discriminator.
        generator_optimizer: state of the generator's optax optimizer.
        discriminator_optimizer: state of the discriminator's optax optimizer.
        ema: exponential moving average of `generator`, used for evaluation and explanation.
    """

    step: Any  # arrays of JAX, or of numpy on the host
    key: Any
    generator: Params
    discriminator: Params
    generator_optimizer: optax.OptState
    discriminator_optimizer: optax.OptState
    ema: Params


@flax.struct.dataclass
class TaughtState(TrainState):
    """The training state of a run whose classifier is a black box, with its student.

    Attributes:
        student: parameters of the student.
        student_optimizer: state of the student's optax optimizer.
    """

    student: Params
    student_optimizer: optax.OptState


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
        model: generator.
        discriminator: discriminator.
        generator_optimizer: optimizer of the generator.
        discriminator_optimizer: optimizer of the discriminator.
        image_shape: height and width of the padded images, and channels.
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


NORMS = ("gradient_norm/", "update_norm/")  # prefixes of those terms of a step that are norms, not losses

TrainStep = Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, Terms]]


def samples(batch: dict[str, jax.Array], augment: Augment, key: jax.Array, stride: int) -> jax.Array:
    """The 2P images of a batch of P pairs, augmented, in [-1, 1] and padded to multiples of `stride`."""
    images = batch["images"].reshape(-1, *batch["images"].shape[2:])
    return image_ranges.to_model(augment(key, images), stride)


def update_ema(ema: Params, params: Params, step: jax.Array, decay: float) -> Params:
    """Updates the exponential moving average toward `params`; the decay rate is lower in early steps, and 0 copies."""
    rate = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda average, value: rate * average + (1.0 - rate) * value, ema, params)


def norm(tree: Params) -> jax.Array:
    """Euclidean norm of all numbers of a tree; they are scaled by the largest first, so that it does not overflow."""
    largest = jnp.stack([jnp.abs(x).max() for x in jax.tree.leaves(tree)]).max()
    scale = jnp.where(largest > 0.0, largest, 1.0)
    return scale * optax.global_norm(jax.tree.map(lambda x: x / scale, tree))


def _norms(gradients: Params, updates: Params) -> Terms:
    """Norms of the gradient and of the update of each network, by name."""
    both = zip(NORMS, (gradients, updates), strict=True)
    return {kind + network: norm(tree) for kind, trees in both for network, tree in trees.items()}


def make_train_step(
    networks: Networks,
    weights: Weights,
    generator_optimizer: optax.GradientTransformation,
    discriminator_optimizer: optax.GradientTransformation,
    ema_decay: float,
    augment: Augment,
    relabel: bool,
    swap_noise: float,
    swap: bool = True,
) -> TrainStep:
    """Builds the training step, a pure function that the caller compiles.

    The generator runs forward once: its `vjp` is kept while the discriminator is updated on the detached outputs, then
    the gradient of the generator's loss with respect to the outputs is pulled back through it.

    Args:
        networks: modules and classifier; the parameters of a student are in the state.
        weights: weights of the loss terms.
        generator_optimizer: optimizer of the generator.
        discriminator_optimizer: optimizer of the discriminator.
        ema_decay: decay rate of the exponential moving average of the generator's parameters.
        augment: random augmentation of the images, which must not depend on the number of devices.
        relabel: whether a differentiable classifier labels the augmented images, so that it and the class encoder see
            the same view (Beyer et al. 2022, arXiv 2106.05237); otherwise the batch's labels are used.
        swap_noise: standard deviation, in brightness of [0, 1], of noise on all swaps, and on the real images that the
            discriminator compares them with; it keeps networks from passing each other signals too faint to see
            (Bashkirova et al. 2019, arXiv 1908.01517).
        swap: whether swaps are drawn; without them, loss terms that need them are left out, whatever their weights.

    Returns:
        `step(state, batch) -> (state, terms)`. The batch holds `images`, `[P, 2, height, width, channels]` uint8 or in
        [0, 1], and `labels`, `[P, 2]`. The terms are scalars by name: the losses, with `generator_total` and
        `discriminator_total`, and for each network the norms of its gradient, before it is clipped, and of its update,
        such as `gradient_norm/decoder` and `update_norm/decoder`.
    """

    def train_step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, Terms]:
        taught = networks.taught(state.student) if isinstance(state, TaughtState) else networks
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), 5)
        discriminator_key, generator_key, noise_key, augment_key, code_key = keys
        x = samples(batch, augment, augment_key, networks.model.stride)
        labels = batch["labels"].reshape(-1)
        if relabel and taught.predict is not None:
            answers = taught.seen(x)
            answered = jnp.isfinite(answers).all(-1)  # augmentation may make an answer not finite
            labels = jnp.where(answered, answers.argmax(-1).astype(labels.dtype), labels)

        noise = 0.0
        if swap_noise:
            noise = 2.0 * swap_noise * jax.random.normal(noise_key, x.shape)
        generated, pull_back = jax.vjp(
            lambda params: generate(taught, weights, params, x, code_key, noise, swap), state.generator
        )

        (discriminator_total, discriminator_terms), gradients = jax.value_and_grad(discriminator_loss, has_aux=True)(
            state.discriminator, taught, weights, x + noise, labels, generated, discriminator_key
        )
        updates, discriminator_optimizer_state = discriminator_optimizer.update(
            gradients, state.discriminator_optimizer, state.discriminator
        )
        discriminator = optax.apply_updates(state.discriminator, updates)
        discriminator_norms = _norms({"discriminator": gradients}, {"discriminator": updates})

        (generator_total, generator_terms), cotangent = jax.value_and_grad(generator_loss, has_aux=True)(
            generated, discriminator, taught, weights, x, labels, generator_key
        )
        (gradients,) = pull_back(cotangent)
        updates, generator_optimizer_state = generator_optimizer.update(
            gradients, state.generator_optimizer, state.generator
        )
        generator = optax.apply_updates(state.generator, updates)
        generator_norms = _norms(gradients, updates)

        state = state.replace(
            step=state.step + 1,
            generator=generator,
            discriminator=discriminator,
            generator_optimizer=generator_optimizer_state,
            discriminator_optimizer=discriminator_optimizer_state,
            ema=update_ema(state.ema, generator, state.step, ema_decay),
        )
        totals = {"generator_total": generator_total, "discriminator_total": discriminator_total}
        return state, totals | generator_terms | discriminator_terms | generator_norms | discriminator_norms

    return train_step
