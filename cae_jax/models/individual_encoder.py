"""The individual encoder: image to individual code."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from cae_jax.models.layers import ReflectConv, ResidualBlock, SampleLayerNorm, at_least_float32, instance_norm


class IndividualEncoder(nn.Module):
    """Maps images to individual codes: feature maps that hold all that the class code does not.

    Attributes:
        width: channels after the first convolution; they double at every downsampling.
        downsamplings: convolutions of stride 2.
        residual_blocks: number of residual blocks, at the lowest resolution.
        code_channels: channels of the code; 0 keeps those of the last layer, as published. Fewer make a
            bottleneck, whose root mean square is 1 in every sample.
        norm: 'instance', as published, or 'layer', which keeps how strong the channels are against each other: where
            the lowest resolution is a few pixels, instance norm leaves too little.
        kernel: side of the first kernel.
        dtype: type that is computed in.
    """

    width: int
    downsamplings: int
    residual_blocks: int
    code_channels: int
    norm: str
    kernel: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Encodes `[batch, height, width, channels]` in [-1, 1] into `[batch, height / 2^d, width / 2^d, code]`."""
        norm = instance_norm if self.norm == "instance" else lambda h: SampleLayerNorm()(h)
        stem = ReflectConv(self.width, self.kernel, 1, self.kernel // 2, self.dtype, name="stem")
        h = nn.relu(norm(stem(images)))
        for i in range(self.downsamplings):
            features = self.width * 2 ** (i + 1)
            h = nn.relu(norm(ReflectConv(features, 4, 2, 1, self.dtype, name=f"down_{i}")(h)))
        for i in range(self.residual_blocks):
            h = ResidualBlock(dtype=self.dtype, name=f"block_{i}")(h, (norm, norm))
        if self.code_channels:
            h = ReflectConv(self.code_channels, 1, dtype=self.dtype, name="bottleneck")(h)
            # A fixed size, or the individual code loss is minimised by shrinking the code.
            h = h * jax.lax.rsqrt(jnp.square(h).mean((1, 2, 3), keepdims=True) + 1e-5)
        return at_least_float32(h)
