"""Settings that no network can be built from."""

import re

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from cae_jax.training import presets
from cae_jax.training.build import build_trainer
from cae_jax.training.config import ConfigError, apply_overrides


def build(changes, shape=(28, 28, 1), predict=lambda x: x):
    config = apply_overrides(presets.default(), changes)
    return build_trainer(config, Mesh(np.asarray(jax.devices()[:1]), "data"), shape, 10, predict)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.dtype": "float16"}, "model.dtype must be 'float32' or 'bfloat16', not 'float16'"),
        ({"model.individual_norm": "batch"}, "model.individual_norm must be 'instance' or 'layer', not 'batch'"),
        ({"model.stem_kernel": "4"}, "model.stem_kernel must be odd, not 4"),
        ({"model.upsample_kernel": "7"}, "model.upsample_kernel must be 3 or 5, not 7"),
        ({"discriminator.kernel_init": "zero"}, "discriminator.kernel_init must be 'normal' or 'he', not 'zero'"),
        ({"train.batch_size": "1"}, "loss.leakage compares images of several pairs"),
        ({"train.steps_per_call": "7"}, "train.steps is 1600, which train.steps_per_call, 7, does not divide"),
        ({"train.steps_per_call": "0"}, "train.steps_per_call must be 1 or more, not 0"),
        ({"model.residual_blocks": "0"}, "model.residual_blocks must be 1 or more"),
        ({"optimizer.clip": "-1"}, "optimizer.clip must be 0 or more, not -1.0"),
        ({"optimizer.schedule": "linear"}, "optimizer.schedule must be 'halving' or 'cosine', not 'linear'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(changes)


def test_two_channels_and_a_black_box_with_losses_that_ask_it_are_refused():
    with pytest.raises(ConfigError, match="1 or 3 channels, not 2"):
        build({}, shape=(28, 28, 2))
    with pytest.raises(ConfigError, match="need a differentiable classifier; set them to 0"):
        build({}, predict=None)
