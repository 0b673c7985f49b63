"""The generator of a run: its module, and its parameters from a checkpoint."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np

from cae_jax.config.check import check_model
from cae_jax.config.reading import Config
from cae_jax.images import padded_side
from cae_jax.models import CAE
from cae_jax.workdir.checkpoints import CheckpointStore
from cae_jax.workdir.record import RunRecord


def build_model(config: Config, image_shape: tuple[int, int, int], num_classes: int) -> CAE:
    """Builds the generator for images of a height, width and channels; raises `ConfigError` as `check_model` does."""
    check_model(config, image_shape)
    sizes = config.model.to_dict()
    for name in ("answers", "individual_answers"):
        sizes[name] = num_classes if sizes[name] else 0
    for name in ("keep_residual", "residual"):  # of swaps, not of the networks
        sizes.pop(name)
    return CAE(channels=image_shape[2], **sizes)


def generator_of(record: RunRecord) -> CAE:
    """Builds a run's generator; raises as `build_model` does."""
    return build_model(record.config, record.image_shape, len(record.class_names))


def padded_shape(model: CAE, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Height, width and channels that the networks see for images of `image_shape`."""
    height, width, channels = image_shape
    return padded_side(height, model.stride), padded_side(width, model.stride), channels


def parameter_shapes(module: nn.Module, image_shape: tuple[int, int, int]) -> Any:
    """The shapes of a module's parameters for images of a height, width and channels, without computing any."""
    images = jax.ShapeDtypeStruct((1, *image_shape), np.float32)
    return jax.eval_shape(module.init, jax.random.key(0), images)["params"]


def load_generator(record: RunRecord, store: CheckpointStore, step: int) -> Any:
    """Reads the generator's averaged parameters of a whole checkpoint.

    Raises:
        CheckpointError: if they are of another model.
    """
    model = generator_of(record)
    return store.load(step, "ema", parameter_shapes(model, padded_shape(model, record.image_shape)))
