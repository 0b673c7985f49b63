"""Weights of other implementations. Tensors in, parameters out: nothing here reads files or runs networks."""

from cae_jax.interop.official import discriminator_names, from_official, generator_names

__all__ = ["discriminator_names", "from_official", "generator_names"]
