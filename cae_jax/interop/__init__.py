"""Weights of the published PyTorch code, to and from Flax parameters, and the files they come in. Runs no networks."""

from cae_jax.interop.official import discriminator_names, from_official, generator_names, to_official
from cae_jax.interop.official_sizes import discriminator_sizes, generator_sizes
from cae_jax.interop.tensor_files import read_tensor_file, write_tensor_file

__all__ = [
    "discriminator_names",
    "discriminator_sizes",
    "from_official",
    "generator_names",
    "generator_sizes",
    "read_tensor_file",
    "to_official",
    "write_tensor_file",
]
