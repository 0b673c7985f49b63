"""Whether settings can be: all checks of a config's values, so that whoever builds from it can take them for granted.

Keys and types come first (`config.conform`); what a data set or a classifier is checked for is in `settings.py`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from cae_jax.classifiers.networks import ARCHITECTURES
from cae_jax.classifiers.outputs import HEADS
from cae_jax.config.presets import official
from cae_jax.config.reading import Config, ConfigError, conform, flatten
from cae_jax.config.settings import classifier_reference, file_settings
from cae_jax.images import padded_side

GREATEST_SEED = 2_000_000_000  # what is drawn from adds a little to it, and must stay below 2³¹


class Rule(NamedTuple):
    """What values a key may have: a test, and the same in words that follow 'must be'."""

    holds: Callable[[Any], bool]
    words: str


def _one_of(*names: str) -> Rule:
    quoted = [repr(name) for name in names]
    return Rule(lambda value: value in names, " or ".join([", ".join(quoted[:-1]), quoted[-1]]))


def _between(least: float, most: float) -> Rule:
    return Rule(lambda value: least <= value <= most, f"from {least:,} to {most:,}")


POSITIVE = Rule(lambda value: value >= 1, "1 or more")
NOT_NEGATIVE = Rule(lambda value: value >= 0, "0 or more")
BELOW_ONE = Rule(lambda value: 0 <= value < 1, "0 or more and below 1")
ODD = Rule(lambda value: value >= 1 and value % 2 == 1, "odd")
NOT_EMPTY = Rule(bool, "a name")
DTYPE = _one_of("float32", "bfloat16")

CLASSIFIER = {
    "head": _one_of(*HEADS),
    "finding": NOT_NEGATIVE,
    "device": NOT_EMPTY,
    "architecture": _one_of(*ARCHITECTURES),
    "steps": POSITIVE,
    "batch_size": NOT_NEGATIVE,
    "learning_rate": Rule(lambda value: value > 0, "above 0"),
}
RULES = {
    "seed": _between(0, GREATEST_SEED),
    "labels": _one_of("classifier", "dataset"),
    "data.window": Rule(lambda window: not any(window) or window[1] > 0, "a centre and a width above 0, or two zeros"),
    "data.table.path": NOT_EMPTY,
    "data.table.label": NOT_EMPTY,
    "augment.max_shift": NOT_NEGATIVE,
    "augment.max_rotation": _between(0, 180),
    **{f"{name}.{key}": rule for name in ("classifier", "oracle") for key, rule in CLASSIFIER.items()},
    "oracle.steps": NOT_NEGATIVE._replace(words="0 or more (0 leaves the oracle out)"),
    "model.width": POSITIVE,
    "model.class_width": POSITIVE,
    "model.class_code_size": POSITIVE,
    "model.class_downsamplings": NOT_NEGATIVE,
    "model.class_head_width": NOT_NEGATIVE,
    "model.individual_downsamplings": NOT_NEGATIVE,
    "model.individual_code_channels": NOT_NEGATIVE,
    "model.individual_norm": _one_of("instance", "layer"),
    "model.residual_blocks": POSITIVE._replace(words="1 or more: they are where the class code enters the decoder"),
    "model.mlp_width": POSITIVE,
    "model.stem_kernel": ODD,
    "model.upsample_kernel": Rule(lambda value: value in (3, 5), "3 or 5"),
    "model.output_kernel": ODD,
    "model.residual": _one_of("exemplar", "detail"),
    "model.block": POSITIVE,
    "model.dtype": DTYPE,
    "discriminator.width": POSITIVE,
    "discriminator.downsamplings": NOT_NEGATIVE,
    "discriminator.residual_blocks": NOT_NEGATIVE,
    "discriminator.hidden": POSITIVE,
    "discriminator.dropout": BELOW_ONE,
    "discriminator.kernel_init": _one_of("normal", "he"),
    "discriminator.block": POSITIVE,
    "discriminator.dtype": DTYPE,
    **{f"loss.{term}": NOT_NEGATIVE for term in official().loss},
    "optimizer.generator_rate": NOT_NEGATIVE,
    "optimizer.discriminator_rate": NOT_NEGATIVE,
    "optimizer.warmup_rate": NOT_NEGATIVE,
    "optimizer.schedule": _one_of("halving", "cosine"),
    "optimizer.l2": NOT_NEGATIVE,
    "optimizer.clip": NOT_NEGATIVE,
    "train.minutes": NOT_NEGATIVE,
    "train.steps": POSITIVE,
    "train.batch_size": POSITIVE,
    "train.warmup_steps": NOT_NEGATIVE,
    "train.swap_noise": NOT_NEGATIVE,
    "train.ema_decay": BELOW_ONE,
    "train.log_every": POSITIVE,
    "train.checkpoint_every": POSITIVE,
    "evaluation.swaps": POSITIVE,
    "evaluation.svm_images": NOT_NEGATIVE._replace(words="0 or more (0 leaves the second judge out)"),
}


def _check_values(values: dict[str, Any]) -> None:
    for key, value in values.items():
        rule = RULES.get(key)
        if rule and not rule.holds(value):
            raise ConfigError(f"{key} must be {rule.words}, not {value!r}")


def check_settings(config: Any) -> Config:
    """A config as the preset `official` has it, in keys and types, if all its values can be and go together.

    Nothing is opened, asked or computed for it.

    Raises:
        ConfigError: naming the keys.
    """
    config = conform(config, official(), "training config")
    file_settings(config.data)
    for name in ("classifier", "oracle"):
        classifier_reference(config[name], name)
    _check_values(flatten(config))
    if not config.data.name:
        raise ConfigError("data.name is empty; name a data set, a folder of images, a .csv or a .npz")
    if config.loss.leakage and config.train.batch_size < 2:
        raise ConfigError(
            "loss.leakage compares images of several pairs: set it to 0, or train.batch_size to 2 or more"
        )
    if config.loss.bits and not config.model.individual_code_rounded:
        raise ConfigError("loss.bits counts the bits of rounded codes: set model.individual_code_rounded, or it to 0")
    return config


def check_devices(config: Config) -> None:
    """Checks that the devices of all processes can share a batch; raises `ConfigError` if not."""
    count, pairs = jax.device_count(), config.train.batch_size
    if pairs % count:
        more = math.ceil(pairs / count) * count
        raise ConfigError(
            f"train.batch_size is {pairs}, which {count} devices cannot share evenly: set it to a multiple of {count}, "
            f"such as {more}, or show JAX fewer devices (CUDA_VISIBLE_DEVICES, TPU_VISIBLE_DEVICES)"
        )


def _padded_sides(model: Config, image_shape: tuple[int, int, int]) -> list[int]:
    """Height and width of images as the networks see them, in pixels."""
    stride = model.block * 2 ** max(model.class_downsamplings, model.individual_downsamplings)
    return [padded_side(size, stride) for size in image_shape[:2]]


def check_model(config: Config, image_shape: tuple[int, int, int]) -> None:
    """Checks that the generator of a config, which a damaged record may hold, can be built for images.

    Args:
        config: config with a `model` part.
        image_shape: height, width and channels of the user's images.

    Raises:
        ConfigError: naming the key, or for other than 1 or 3 channels, or too few pixels.
    """
    if image_shape[2] not in (1, 3):
        raise ConfigError(f"images must have 1 or 3 channels, not {image_shape[2]}")
    model = config.model
    _check_values({f"model.{key}": value for key, value in flatten(model).items()})
    if model.individual_code_rounded and not model.individual_code_channels:
        raise ConfigError(
            "model.individual_code_rounded rounds the numbers of a bottleneck: set model.individual_code_channels to "
            "how many channels it has, or individual_code_rounded to False"
        )
    side = min(_padded_sides(model, image_shape)) // model.block
    if model.individual_downsamplings and side < 2 * 2**model.individual_downsamplings:
        raise ConfigError(
            f"images of {image_shape[0]}×{image_shape[1]} pixels are too small for model.individual_downsamplings "
            f"{model.individual_downsamplings}: lower it, or make them larger (data.size)"
        )


def check_images(config: Config, image_shape: tuple[int, int, int]) -> None:
    """Checks that networks can be built for images, and images be augmented, as a config says; see `check_model`."""
    check_model(config, image_shape)
    sides, deepest = _padded_sides(config.model, image_shape), config.discriminator.downsamplings
    block = config.discriminator.block
    if any(side % block for side in sides):
        raise ConfigError(
            f"discriminator.block is {block}, which does not divide images evenly as model.block and the downsamplings "
            f"have them padded, to {sides[0]}×{sides[1]}: set it to {config.model.block}, as model.block is"
        )
    if min(sides) // block < 2**deepest:
        raise ConfigError(
            f"images of {image_shape[0]}×{image_shape[1]} pixels are too small for discriminator.downsamplings "
            f"{deepest}: lower it, or make them larger (data.size)"
        )
    if config.augment.max_shift >= min(image_shape[:2]):
        raise ConfigError(
            f"augment.max_shift is {config.augment.max_shift}, which moves images of {image_shape[0]}×{image_shape[1]} "
            f"pixels out of sight"
        )


def asked_in_steps(config: Config) -> list[str]:
    """The keys of a config for which a training step asks the classifier, or else its student."""
    found = {
        "loss.consistency": config.loss.consistency,
        "loss.fidelity": config.loss.fidelity,
        "model.answers": config.model.answers,
        "model.individual_answers": config.model.individual_answers,
    }
    return [key for key, value in found.items() if value]


def check_differentiable(config: Config, traceable: bool) -> None:
    """Checks that a classifier that steps ask has gradients, or can have a student; raises `ConfigError` if neither."""
    asked = asked_in_steps(config)
    if asked and not traceable and jax.process_count() > 1:
        raise ConfigError(
            f"{', '.join(asked)} need a classifier that JAX can differentiate where several processes train; set them "
            f"to 0, or train in one process, where a student of it is asked"
        )
