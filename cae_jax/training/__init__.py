"""Training: state, step, optimizers, sharding, checkpoints, configs, and the loop that ties them to a workdir.

Modules are imported one by one (`from cae_jax.training.loop import train`), so that reading a config costs no JAX.
"""
