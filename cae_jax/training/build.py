"""From a config to objects: networks, optimizers, the compiled step."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax
from jax.sharding import Mesh

from cae_jax.data import make_augment
from cae_jax.images import padded_side
from cae_jax.models import CAE, Discriminator
from cae_jax.training.checkpoints import CheckpointStore
from cae_jax.training.config import Config, ConfigError
from cae_jax.training.objectives import Networks, Weights
from cae_jax.training.optimizers import learning_rate_schedule, make_optimizer
from cae_jax.training.sharding import replicated
from cae_jax.training.state import TrainState, create_state
from cae_jax.training.step import TrainStep, in_turn, make_train_step
from cae_jax.types import Predict


class Trainer(NamedTuple):
    """What a run calls.

    Attributes:
        networks: modules and classifier.
        init: `() -> TrainState`, on every device of the mesh.
        step: one compiled step, `(state, batch) -> (state, terms)`; it takes over its state's memory.
        steps: several in one call; batches and terms have a first axis of steps.
    """

    networks: Networks
    init: Callable[[], TrainState]
    step: TrainStep
    steps: TrainStep

    def shapes(self) -> TrainState:
        """What `init` makes, as shapes with their shardings."""
        return self.init.eval_shape()


def build_model(config: Config, image_shape: tuple[int, int, int]) -> CAE:
    """Builds the generator for images of a height, width and channels.

    Raises:
        ConfigError: for other than 1 or 3 channels, without residual blocks, or if `dtype` or a kernel size is not one
            we know.
    """
    if image_shape[2] not in (1, 3):
        raise ConfigError(f"images must have 1 or 3 channels, not {image_shape[2]}")
    if config.model.dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"model.dtype must be 'float32' or 'bfloat16', not {config.model.dtype!r}")
    if config.model.individual_norm not in ("instance", "layer"):
        raise ConfigError(f"model.individual_norm must be 'instance' or 'layer', not {config.model.individual_norm!r}")
    if config.model.residual_blocks < 1:
        raise ConfigError("model.residual_blocks must be 1 or more: they are where the class code enters the decoder")
    for key in ("stem_kernel", "output_kernel", "upsample_kernel"):
        if config.model[key] % 2 == 0 or (key == "upsample_kernel" and config.model[key] not in (3, 5)):
            raise ConfigError(
                f"model.{key} must be {'3 or 5' if key == 'upsample_kernel' else 'odd'}, not {config.model[key]}"
            )
    return CAE(channels=image_shape[2], **config.model.to_dict())


def padded_shape(model: CAE, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Height, width and channels that the networks see for images of `image_shape`."""
    height, width, channels = image_shape
    return padded_side(height, model.stride), padded_side(width, model.stride), channels


def parameter_shapes(module: nn.Module, image_shape: tuple[int, int, int]) -> Any:
    """The shapes of a module's parameters for images of a height, width and channels, without computing any."""
    images = jax.ShapeDtypeStruct((1, *image_shape), np.float32)
    return jax.eval_shape(module.init, jax.random.key(0), images)["params"]


def load_generator(config: Config, image_shape: tuple[int, int, int], store: CheckpointStore, step: int) -> Any:
    """Reads the generator's averaged parameters of a whole checkpoint.

    Raises:
        CheckpointError: if they are of another model.
    """
    model = build_model(config, image_shape)
    return store.load(step, "ema", parameter_shapes(model, padded_shape(model, image_shape)))


def build_trainer(
    config: Config, mesh: Mesh, image_shape: tuple[int, int, int], num_classes: int, predict: Predict | None
) -> Trainer:
    """Builds networks, optimizers and the compiled step.

    Args:
        config: see `presets`.
        mesh: of all devices.
        image_shape: height, width and channels of the user's images.
        num_classes: K.
        predict: the classifier where it is differentiable, else None.

    Raises:
        ConfigError: for settings that contradict each other.
    """
    if predict is None and (config.loss.consistency or config.loss.fidelity):
        raise ConfigError("loss.consistency and loss.fidelity need a differentiable classifier; set them to 0")
    if config.loss.leakage and config.train.batch_size < 2:
        raise ConfigError(
            "loss.leakage compares images of several pairs: set it to 0, or train.batch_size to 2 or more"
        )
    if config.train.steps_per_call < 1:
        raise ConfigError(f"train.steps_per_call must be 1 or more, not {config.train.steps_per_call}")
    for key in ("steps", "checkpoint_every"):
        if config.train[key] % config.train.steps_per_call:
            raise ConfigError(
                f"train.{key} is {config.train[key]}, which train.steps_per_call, {config.train.steps_per_call}, does "
                f"not divide"
            )
    for key in ("generator_rate", "discriminator_rate", "warmup_rate", "l2", "clip"):
        if config.optimizer[key] < 0:
            raise ConfigError(f"optimizer.{key} must be 0 or more, not {config.optimizer[key]}")
    if (init := config.discriminator.kernel_init) not in ("normal", "he"):
        raise ConfigError(f"discriminator.kernel_init must be 'normal' or 'he', not {init!r}")
    model = build_model(config, image_shape)
    discriminator = Discriminator(num_classes, **config.discriminator.to_dict())
    networks = Networks(model, discriminator, predict, image_shape[:2], config.train.remat)

    def optimizer(peak: float) -> optax.GradientTransformation:
        schedule = learning_rate_schedule(config.optimizer.schedule, peak, config.train.steps)
        return make_optimizer(schedule, config.optimizer.l2, config.optimizer.clip)

    generator_optimizer = optimizer(config.optimizer.generator_rate)
    discriminator_optimizer = optimizer(config.optimizer.discriminator_rate)
    weights = Weights(**config.loss.to_dict())
    step = make_train_step(
        networks,
        weights,
        generator_optimizer,
        discriminator_optimizer,
        config.train.ema_decay,
        augment=make_augment(**config.augment.to_dict()),
        relabel=config.labels == "classifier",
        swap_noise=config.train.swap_noise,
    )

    def init() -> TrainState:
        return create_state(
            jax.random.key(config.seed),
            model,
            discriminator,
            generator_optimizer,
            discriminator_optimizer,
            padded_shape(model, image_shape),
        )

    everywhere = replicated(mesh)
    compiled = functools.partial(jax.jit, donate_argnums=0, out_shardings=everywhere)
    return Trainer(networks, jax.jit(init, out_shardings=everywhere), compiled(step), compiled(in_turn(step)))
