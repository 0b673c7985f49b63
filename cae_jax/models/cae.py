"""The class association embedding: the two encoders and the decoder as one module."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cae_jax.models.class_encoder import ClassEncoder
from cae_jax.models.decoder import Decoder
from cae_jax.models.individual_encoder import IndividualEncoder


class CAE(nn.Module):
    """Splits images into individual and class codes and draws images from them (Xie et al., arXiv 2406.07961).

    The defaults are the published sizes. Image sides must be multiples of `stride`.

    Attributes:
        channels: of the images, 1 or 3.
        width: channels at full resolution, of the individual encoder and the decoder.
        class_width: channels at full resolution, of the class encoder.
        class_code_size: numbers in a class code.
        class_downsamplings: of the class encoder.
        class_head_width: 0 for the published head, else the hidden width (see `ClassEncoder`).
        individual_downsamplings: of the individual encoder; the decoder upsamples as often.
        individual_code_channels: 0 for the published code, else the channels of a bottleneck.
        individual_norm: 'instance', as published, or 'layer' (see `IndividualEncoder`).
        residual_blocks: of the individual encoder, and of the decoder.
        mlp_width: hidden width of the decoder's MLP.
        stem_kernel: first kernel of both encoders.
        upsample_kernel: of the decoder, 3 or 5.
        output_kernel: last kernel of the decoder.
        dtype: of the computation, by name: 'float32' or 'bfloat16'. Parameters, codes and images stay float32.
    """

    channels: int = 3
    width: int = 64
    class_width: int = 64
    class_code_size: int = 8
    class_downsamplings: int = 4
    class_head_width: int = 0
    individual_downsamplings: int = 2
    individual_code_channels: int = 0
    individual_norm: str = "instance"
    residual_blocks: int = 6
    mlp_width: int = 256
    stem_kernel: int = 7
    upsample_kernel: int = 5
    output_kernel: int = 7
    dtype: str = "float32"

    @property
    def stride(self) -> int:
        """What image sides must be a multiple of."""
        return 2 ** max(self.class_downsamplings, self.individual_downsamplings)

    def setup(self) -> None:
        """Makes the parts."""
        dtype = jnp.dtype(self.dtype)
        self.class_encoder = ClassEncoder(
            self.class_width,
            self.class_downsamplings,
            self.class_code_size,
            self.class_head_width,
            self.stem_kernel,
            dtype,
        )
        self.individual_encoder = IndividualEncoder(
            self.width,
            self.individual_downsamplings,
            self.residual_blocks,
            self.individual_code_channels,
            self.individual_norm,
            self.stem_kernel,
            dtype,
        )
        self.decoder = Decoder(
            self.channels,
            self.width,
            self.individual_downsamplings,
            self.residual_blocks,
            self.mlp_width,
            self.upsample_kernel,
            self.output_kernel,
            self.individual_code_channels,
            dtype,
        )

    def encode(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Encodes `[batch, height, width, channels]` in [-1, 1].

        Returns:
            Individual codes `[batch, h, w, code]` and class codes `[batch, class_code_size]`.
        """
        return self.individual_encoder(images), self.class_encoder(images)

    def decode(self, individual_code: jax.Array, class_code: jax.Array) -> jax.Array:
        """Decodes codes, as `encode` returns them, into `[batch, height, width, channels]` in [-1, 1]."""
        return self.decoder(individual_code, class_code)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Reconstructs images: decodes their own codes."""
        return self.decode(*self.encode(images))
