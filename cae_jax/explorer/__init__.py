"""A live page on which to walk the class-code manifold, served on this machine."""

from cae_jax.explorer.atlas import Atlas, make_atlas
from cae_jax.explorer.server import free_port, serve

__all__ = ["Atlas", "free_port", "make_atlas", "serve"]
