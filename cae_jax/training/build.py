"""Builds networks, optimizers and compiled training steps from a config."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from cae_jax.config.check import asked_in_steps
from cae_jax.config.reading import Config
from cae_jax.data import make_augment
from cae_jax.models import Discriminator
from cae_jax.parallel.sharding import replicated
from cae_jax.training.objectives import UNWEIGHTED, Networks, Weights
from cae_jax.training.step import TrainState, TrainStep, create_state, make_train_step
from cae_jax.training.student import Student
from cae_jax.types import Predict
from cae_jax.workdir.generator import build_model, padded_shape

TICKS = 10_000  # that the library's schedules have, whatever the number of steps: it takes no traced one
Optimizers = tuple[optax.GradientTransformation, optax.GradientTransformation]  # for generator and discriminator


def learning_rate_schedule(name: str, peak: float, steps: float | jax.Array) -> optax.Schedule:
    """Builds the learning rate schedule of a run.

    Args:
        name: 'halving' halves the rate ten times over the run, as published; 'cosine' warms up over the first 2 % of
            the steps and then falls to 2 % of the peak; 'one cycle', the warm-up's, rises over the first 30 % and then
            falls to nearly 0.
        peak: highest learning rate.
        steps: number of steps of the whole run; may be traced, so that runs of any length share a program.

    Raises:
        ValueError: for another name.
    """
    steps = jnp.maximum(steps, 1)
    if name == "halving":
        return lambda step: peak * 0.5 ** jnp.floor(step / jnp.maximum(steps // 10, 1))
    if name == "cosine":
        whole = optax.warmup_cosine_decay_schedule(0.1 * peak, peak, TICKS // 50, TICKS, 0.02 * peak)
    elif name == "one cycle":
        whole = optax.cosine_onecycle_schedule(TICKS, peak)
    else:
        raise ValueError(f"optimizer.schedule must be 'halving' or 'cosine', not {name!r}")
    return lambda step: whole(step * (TICKS / steps))


def make_optimizer(schedule: optax.Schedule | float, l2: float, clip: float = 0.0) -> optax.GradientTransformation:
    """Adam with betas (0.5, 0.999) and an L2 term *added to the gradient*, before the moments, as in PyTorch's `Adam`.

    Args:
        schedule: learning rate, or a function from the step to it.
        l2: weight of the L2 term; this is not AdamW's decoupled decay.
        clip: global norm that larger gradients are scaled down to; 0 for no limit.
    """
    limit = optax.clip_by_global_norm(clip) if clip else optax.identity()
    return optax.chain(limit, optax.add_decayed_weights(l2), optax.adam(schedule, b1=0.5, b2=0.999))


class Trainer(NamedTuple):
    """Networks and compiled functions of a training run.

    Attributes:
        networks: modules and classifier.
        init: `() -> TrainState`, replicated over the mesh; the optimizers' states hold the numbers of steps.
        step: compiled training step, `(state, batch) -> (state, terms)`; it donates the memory of its input state, and
            is the same for runs of any length.
        warmup_step: compiled step without swaps, with the warm-up's weights and learning rates; None where the config
            asks for no warm-up.
    """

    networks: Networks
    init: Callable[[], TrainState]
    step: TrainStep
    warmup_step: TrainStep | None

    def shapes(self) -> TrainState:
        """Shapes and shardings of the state that `init` returns, without computing it."""
        return self.init.eval_shape()


def warmup_weights(weights: Weights) -> Weights:
    """Weights of the loss terms in the warm-up: reconstruction, telling the classes apart, what codes may hold."""
    told_apart = {"neighbourhood": 1.0, "discriminator_class": 1.0}
    kept = {name: getattr(weights, name) for name in ("image", "squared", "structure", "leakage", "bits")}
    return UNWEIGHTED.replace(**told_apart, **kept)


def build_trainer(
    config: Config, mesh: Mesh, image_shape: tuple[int, int, int], num_classes: int, predict: Predict | Student | None
) -> Trainer:
    """Builds networks, optimizers and the compiled steps.

    Args:
        config: config that `check_settings` and `check_images` have accepted.
        mesh: mesh of all devices.
        image_shape: height, width and channels of the user's images.
        num_classes: number of classes, K.
        predict: the classifier if it is differentiable, else its student, or None where no step asks either.

    Raises:
        ValueError: if steps ask a classifier and there is none.
    """
    if predict is None and (asked := asked_in_steps(config)):
        raise ValueError(f"{', '.join(asked)} ask a classifier, and there is none (predict=None)")
    student = predict if isinstance(predict, Student) else None
    model = build_model(config, image_shape, num_classes)
    discriminator = Discriminator(num_classes, **config.discriminator.to_dict())
    residual = config.model.residual if config.model.keep_residual else ""
    asked = predict.predict if isinstance(predict, Student) else predict
    networks = Networks(model, discriminator, asked, image_shape[:2], config.train.remat, residual)
    weights, rates, everywhere = Weights(**config.loss.to_dict()), config.optimizer, replicated(mesh)

    def optimizer(peak: float, warming_up: bool = False) -> optax.GradientTransformation:
        """An optimizer whose state holds how many steps there are, so that runs of any length share a program."""
        name = "one cycle" if warming_up else rates.schedule

        def of_lengths(steps: jax.Array, warmup_steps: jax.Array) -> optax.GradientTransformation:
            schedule = learning_rate_schedule(name, peak, warmup_steps if warming_up else steps)
            return make_optimizer(schedule, rates.l2, rates.clip)

        return optax.inject_hyperparams(of_lengths)(config.train.steps, config.train.warmup_steps)

    def compiled(weights: Weights, optimizers: Optimizers, swap: bool) -> TrainStep:
        step = make_train_step(
            networks,
            weights,
            *optimizers,
            config.train.ema_decay,
            augment=make_augment(**config.augment.to_dict()),
            relabel=config.labels == "classifier" and student is None,
            swap_noise=config.train.swap_noise,
            swap=swap,
        )
        return jax.jit(step, donate_argnums=0, out_shardings=everywhere)

    optimizers, warmup_step = (optimizer(rates.generator_rate), optimizer(rates.discriminator_rate)), None
    if config.train.warmup_steps:
        warmers = optimizer(rates.warmup_rate, warming_up=True), optimizer(rates.discriminator_rate, warming_up=True)
        warmup_step = compiled(warmup_weights(weights), warmers, swap=False)

    def init() -> TrainState:
        key, shape = jax.random.key(config.seed), padded_shape(model, image_shape)
        state = create_state(key, model, discriminator, *optimizers, shape)
        return student.begin(state) if student else state

    return Trainer(
        networks, jax.jit(init, out_shardings=everywhere), compiled(weights, optimizers, swap=True), warmup_step
    )
