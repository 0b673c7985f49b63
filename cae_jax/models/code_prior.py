"""How many bits an individual code of whole numbers takes."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

STEEPNESS = 10.0  # how many times faster than other parameters the distribution learns, to keep up with the codes
LEAST_STEP = 1e-7  # least fall of a logarithm of probability from one whole number's edge to the other


class CodePrior(nn.Module):
    """The distribution by which codes are told in bits: a discretised logistic one for each channel.

    It is learned on codes that have uniform noise in place of rounding, as by Ballé et al. (ICLR 2017, arXiv
    1611.01704), whose gradient is also what keeps the codes short. The distribution is that of PixelCNN++ (Salimans et
    al., ICLR 2017, arXiv 1701.05517).
    """

    @nn.compact
    def __call__(self, codes: jax.Array) -> jax.Array:
        """Counts the bits `[batch]` that whole numbers `[batch, h, w, C]` take: minus the log2 of their probability."""
        middle = STEEPNESS * self.param("middle", nn.initializers.zeros, codes.shape[-1:])
        scale = jnp.exp(STEEPNESS * self.param("log_scale", nn.initializers.zeros, codes.shape[-1:]))
        # The probability is between two values of the logistic function; taken on its lower side, where both are exact.
        distance = jnp.abs(codes - middle)
        above, below = jax.nn.log_sigmoid((0.5 - distance) / scale), jax.nn.log_sigmoid((-0.5 - distance) / scale)
        nats = above + jnp.log(-jnp.expm1(jnp.minimum(below - above, -LEAST_STEP)))
        return -nats.sum((1, 2, 3)) / math.log(2.0)
