"""The decoder: individual code and class code to image."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from cae_jax.models.layers import (
    ReflectConv,
    ResidualBlock,
    SampleLayerNorm,
    adaptive_instance_norm,
    at_least_float32,
    he_normal,
    reflect_pad,
    valid_conv,
)
from cae_jax.models.upsample import UpsampleConv


class Decoder(nn.Module):
    """Draws the image of an individual code with the class that a class code says.

    The class code enters through adaptive instance norm only: an MLP turns it into a bias and a scale for every
    normalisation of the residual blocks.

    Attributes:
        channels: channels of the image.
        width: channels before the last convolution; each upsampling halves down to it.
        upsamplings: number of upsamplings, as many as the individual encoder has downsamplings.
        residual_blocks: number of residual blocks, at the lowest resolution.
        mlp_width: hidden width of the MLP.
        upsample_kernel: side of the upsamplings' kernels, 3 or 5.
        output_kernel: side of the last kernel.
        code_channels: channels of the individual code if it is a bottleneck, else 0.
        dtype: type that is computed in.
    """

    channels: int
    width: int
    upsamplings: int
    residual_blocks: int
    mlp_width: int
    upsample_kernel: int
    output_kernel: int
    code_channels: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, individual_code: jax.Array, class_code: jax.Array) -> jax.Array:
        """Decodes `[batch, h, w, code]` and `[batch, size]` into `[batch, h·2^u, w·2^u, channels]` in [-1, 1]."""
        features = self.width * 2**self.upsamplings
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=he_normal)
        h = nn.relu(dense(self.mlp_width, name="mlp_0")(class_code))
        h = nn.relu(dense(self.mlp_width, name="mlp_1")(h))
        style = dense(self.residual_blocks * 4 * features, name="mlp_2")(h)
        # Per normalisation, in order of use: first the biases, then the scales.
        style = style.reshape(-1, self.residual_blocks, 2, 2, features)

        x = individual_code.astype(self.dtype)
        if self.code_channels:
            x = ReflectConv(features, 3, 1, 1, self.dtype, name="expand")(x)
        for i in range(self.residual_blocks):
            norms = tuple(
                functools.partial(adaptive_instance_norm, scale=style[:, i, j, 1], bias=style[:, i, j, 0])
                for j in range(2)
            )
            x = ResidualBlock(dtype=self.dtype, name=f"block_{i}")(x, norms)
        for i in range(self.upsamplings):
            features //= 2
            x = UpsampleConv(features, self.upsample_kernel, self.dtype, name=f"up_{i}")(x)
            x = nn.relu(SampleLayerNorm(name=f"norm_{i}")(x))
        output = valid_conv(self.channels, self.output_kernel, dtype=self.dtype, name="output")
        x = output(reflect_pad(x, self.output_kernel // 2))
        return jnp.tanh(at_least_float32(x))
