"""The sizes of published networks, read from their tensors."""

import re
from collections.abc import Mapping

import numpy as np


def _shape(tensors: Mapping[str, np.ndarray], name: str, what: str) -> tuple[int, ...]:
    if name not in tensors:
        some = ", ".join(list(tensors)[:3])
        raise ValueError(f"these are no weights of a published {what}: {name} is missing; there are {some}, ...")
    return np.shape(tensors[name])


def _count(tensors: Mapping[str, np.ndarray], pattern: str) -> int:
    """How many different numbers stand in the place of the pattern's group."""
    return len({found[1] for name in tensors if (found := re.fullmatch(pattern, name))})


def generator_sizes(tensors: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Reads the sizes of a generator.

    Args:
        tensors: by published name.

    Returns:
        Attributes of `models.CAE`, `channels` among them.

    Raises:
        ValueError: naming a tensor that every published generator has.
    """
    shape = lambda name: _shape(tensors, name, "generator")  # noqa: E731
    width, channels, stem_kernel, _ = shape("enc_content.model.0.conv.weight")
    class_downsamplings = _count(tensors, r"enc_style\.model\.(\d+)\.conv\.weight") - 1
    downsamplings = _count(tensors, r"enc_content\.model\.(\d+)\.conv\.weight") - 1
    return {
        "channels": channels,
        "width": width,
        "class_width": shape("enc_style.model.0.conv.weight")[0],
        "class_code_size": shape(f"enc_style.model.{class_downsamplings + 1}.weight")[0],
        "class_downsamplings": class_downsamplings,
        "individual_downsamplings": downsamplings,
        "residual_blocks": _count(tensors, r"dec\.model\.0\.model\.(\d+)\..*weight"),
        "mlp_width": shape("mlp.model.0.fc.weight")[0],
        "stem_kernel": stem_kernel,
        "upsample_kernel": shape("dec.model.2.conv.weight")[2],
        "output_kernel": shape(f"dec.model.{2 * downsamplings + 1}.conv.weight")[2],
    }


def discriminator_sizes(tensors: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Reads the sizes of a discriminator.

    Args:
        tensors: by published name.

    Returns:
        Attributes of `models.Discriminator`, `num_classes` among them.

    Raises:
        ValueError: naming a tensor that every published discriminator has.
    """
    shape = lambda name: _shape(tensors, name, "discriminator")  # noqa: E731
    downsamplings = _count(tensors, r"cnns\.(\d+)\.conv\.weight")
    return {
        "width": shape("cnns.0.conv.weight")[0],
        "downsamplings": downsamplings,
        "residual_blocks": _count(tensors, rf"cnns\.{downsamplings}\.model\.(\d+)\..*weight"),
        "hidden": shape("fc.0.weight")[0],
        "num_classes": shape("fc.3.weight")[0] - 2,
    }
