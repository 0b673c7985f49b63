"""The individual encoder: image to individual code."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from cae_jax.models.layers import ReflectConv, ResidualBlock, SampleLayerNorm, at_least_float32, instance_norm

SPREAD = 4.0  # about the standard deviation of an untrained encoder's numbers, in steps of rounding


class IndividualEncoder(nn.Module):
    """Maps images to individual codes: feature maps that hold all that the class code does not.

    The code can be taken relative to the class: told the classifier's answer, a linear layer shifts and scales each of
    its numbers, so that what all images of a class have in common need not be in it.

    Attributes:
        width: channels after the first convolution; they double at every downsampling.
        downsamplings: convolutions of stride 2.
        residual_blocks: number of residual blocks, at the lowest resolution.
        code_channels: channels of the code; 0 keeps those of the last layer, as published. Fewer make a
            bottleneck, whose root mean square is 1 in every sample, unless it is to be `rounded`.
        rounded: whether the bottleneck's numbers are to be rounded to whole ones (see `CAE.encode`).
        norm: 'instance', as published, or 'layer', which keeps how strong the channels are against each other: where
            the lowest resolution is a few pixels, instance norm leaves too little.
        kernel: side of the first kernel.
        dtype: type that is computed in.
    """

    width: int
    downsamplings: int
    residual_blocks: int
    code_channels: int
    rounded: bool
    norm: str
    kernel: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: jax.Array, answers: jax.Array | None = None) -> jax.Array:
        """Encodes images, and relative to what the classifier says of them if that is told.

        Args:
            images: `[batch, height, width, channels]` in [-1, 1].
            answers: the classifier's probabilities `[batch, K]`, rows that are not finite where it has none; or None.

        Returns:
            Individual codes `[batch, height / 2^d, width / 2^d, code]` float32.
        """
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
        if self.rounded:
            h = SPREAD * h
        code = at_least_float32(h)
        if answers is not None:
            known = jnp.where(jnp.isfinite(answers).all(-1, keepdims=True), answers, 0.0)
            told = nn.Dense(2 * code[0].size, kernel_init=nn.initializers.zeros, name="answer")(known)
            scale, shift = jnp.split(told.reshape(*code.shape[:3], 2 * code.shape[3]), 2, -1)
            code = code * (1.0 + scale) + shift
        if self.code_channels and not self.rounded:
            # A fixed size, or the individual code loss is minimised by shrinking the code.
            code = code * jax.lax.rsqrt(jnp.square(code).mean((1, 2, 3), keepdims=True) + 1e-5)
        return code
