"""Weights in the naming and layout of the published PyTorch code, to and from Flax parameters.

Published names: `enc_style` is the class encoder, `enc_content` the individual encoder, `mlp` and `dec` the decoder.
Flax names follow `cae_jax.models`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

IGNORED = ("running_mean", "running_var")  # of AdaIN: dummies that the published code stores and never reads


def _conv(flax: str, official: str) -> dict[str, str]:
    return {f"{flax}/kernel": f"{official}.weight", f"{flax}/bias": f"{official}.bias"}


def _residual(flax: str, official: str) -> dict[str, str]:
    return {
        name: other
        for i in range(2)
        for name, other in _conv(f"{flax}/conv_{i}/conv", f"{official}.model.{i}.conv").items()
    }


def generator_names(class_downsamplings: int, individual_downsamplings: int, residual_blocks: int) -> dict[str, str]:
    """Maps the Flax names of a `CAE` with the published heads to the published names."""
    names = _conv("class_encoder/stem/conv", "enc_style.model.0.conv")
    for i in range(class_downsamplings):
        names |= _conv(f"class_encoder/down_{i}/conv", f"enc_style.model.{i + 1}.conv")
    names |= _conv("class_encoder/head/conv", f"enc_style.model.{class_downsamplings + 1}")

    names |= _conv("individual_encoder/stem/conv", "enc_content.model.0.conv")
    for i in range(individual_downsamplings):
        names |= _conv(f"individual_encoder/down_{i}/conv", f"enc_content.model.{i + 1}.conv")
    for i in range(residual_blocks):
        block = f"enc_content.model.{individual_downsamplings + 1}.model.{i}"
        names |= _residual(f"individual_encoder/block_{i}", block)

    for i in range(3):
        names |= _conv(f"decoder/mlp_{i}", f"mlp.model.{i}.fc")
    for i in range(residual_blocks):
        names |= _residual(f"decoder/block_{i}", f"dec.model.0.model.{i}")
    for i in range(individual_downsamplings):
        layer = f"dec.model.{2 * i + 2}"  # the odd places hold the nearest-neighbour upsampling
        names |= _conv(f"decoder/up_{i}", f"{layer}.conv")
        names |= {f"decoder/norm_{i}/scale": f"{layer}.norm.gamma", f"decoder/norm_{i}/bias": f"{layer}.norm.beta"}
    names |= _conv("decoder/output", f"dec.model.{2 * individual_downsamplings + 1}.conv")
    return names


def discriminator_names(downsamplings: int, residual_blocks: int) -> dict[str, str]:
    """Maps the Flax names of a `Discriminator` to the published names."""
    names: dict[str, str] = {}
    for i in range(downsamplings):
        names |= _conv(f"down_{i}/conv", f"cnns.{i}.conv")
    for i in range(residual_blocks):
        names |= _residual(f"block_{i}", f"cnns.{downsamplings}.model.{i}")
    return names | _conv("hidden", "fc.0") | _conv("logits", "fc.3")


def _to_flax(tensor: np.ndarray) -> np.ndarray:
    if tensor.ndim == 4:
        return tensor.transpose(2, 3, 1, 0)  # convolution: [out, in, height, width] -> [height, width, in, out]
    if tensor.ndim == 2:
        return tensor.T  # linear: [out, in] -> [in, out]
    return tensor


def _to_torch(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)  # convolution: [height, width, in, out] -> [out, in, height, width]
    if array.ndim == 2:
        return array.T  # linear: [in, out] -> [out, in]
    return array


def from_official(tensors: Mapping[str, np.ndarray], names: Mapping[str, str], like: Any) -> Any:
    """Builds Flax parameters from published tensors, strictly.

    Args:
        tensors: by published name; `running_mean` and `running_var` are ignored.
        names: from Flax to published names.
        like: parameters (or shapes) of the module to fill.

    Returns:
        Parameters of the structure of `like`.

    Raises:
        ValueError: listing every tensor that is missing, unknown or of another shape.
    """
    template = flatten_dict(like, sep="/")
    given = {name for name in tensors if not name.endswith(IGNORED)}
    problems = [f"missing: {names[name]} (for {name})" for name in names if names[name] not in given]
    problems += [f"unknown: {name}" for name in sorted(given - set(names.values()))]
    problems += [f"not in the name map: {name}" for name in sorted(set(template) - set(names))]
    problems += [f"not in the module: {name}" for name in sorted(set(names) - set(template))]
    loaded = {}
    for name in set(names) & set(template):
        if names[name] not in given:
            continue
        loaded[name] = _to_flax(np.asarray(tensors[names[name]]))
        if loaded[name].shape != template[name].shape:
            problems.append(f"shape: {names[name]} is {loaded[name].shape} here, {name} needs {template[name].shape}")
    if problems:
        raise ValueError("these weights do not fit the module:\n  " + "\n  ".join(problems))
    return unflatten_dict(loaded, sep="/")


def to_official(params: Any, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Turns Flax parameters into published tensors; the inverse of `from_official`.

    Args:
        params: of a module.
        names: from Flax to published names.

    Returns:
        Tensors by published name. Each AdaIN layer gets the two dummies that the published code stores.

    Raises:
        ValueError: listing what the published networks do not have, or what they have and these parameters lack.
    """
    flat = flatten_dict(params, sep="/")
    problems = [f"not in the published network: {name}" for name in sorted(set(flat) - set(names))]
    problems += [f"missing: {name}" for name in sorted(set(names) - set(flat))]
    if problems:
        raise ValueError("these parameters are not those of a published network:\n  " + "\n  ".join(problems))
    tensors = {names[name]: np.ascontiguousarray(_to_torch(np.asarray(flat[name]))) for name in names}
    for name, tensor in list(tensors.items()):
        if name.startswith("dec.model.0.") and name.endswith("conv.bias"):
            norm = name.removesuffix("conv.bias") + "norm."
            tensors |= {f"{norm}running_mean": np.zeros_like(tensor), f"{norm}running_var": np.ones_like(tensor)}
    return tensors
