"""The class association embedding: the two encoders and the decoder as one module."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cae_jax.models.class_encoder import ClassEncoder
from cae_jax.models.code_prior import CodePrior
from cae_jax.models.decoder import Decoder
from cae_jax.models.individual_encoder import IndividualEncoder
from cae_jax.models.layers import from_blocks, smooth, to_blocks


class CAE(nn.Module):
    """Splits images into individual and class codes and draws images from them (Xie et al., arXiv 2406.07961).

    `config.presets` has the published sizes, and ours. Image sides must be multiples of `stride`.

    Attributes:
        channels: channels of the images, 1 or 3.
        width: channels at full resolution, of the individual encoder and the decoder.
        class_width: channels at full resolution, of the class encoder.
        class_code_size: numbers in a class code.
        class_downsamplings: downsamplings of the class encoder.
        class_head_width: 0 for the published head, else the hidden width (see `ClassEncoder`).
        individual_downsamplings: downsamplings of the individual encoder; the decoder upsamples as often.
        individual_code_channels: 0 for the published code, else the channels of a bottleneck.
        individual_code_rounded: whether the bottleneck's numbers are whole, so that a code holds a number of bits.
        individual_norm: 'instance', as published, or 'layer' (see `IndividualEncoder`).
        residual_blocks: residual blocks of the individual encoder, and of the decoder.
        mlp_width: hidden width of the decoder's MLP.
        stem_kernel: first kernel of both encoders.
        upsample_kernel: kernel of the decoder's upsamplings, 3 or 5.
        output_kernel: last kernel of the decoder.
        block: side of the blocks of pixels that both encoders take as channels, and the decoder draws at once; 1 for
            pixels one by one, as published.
        answers: number K of classes whose probabilities the class encoder is told beside the image; 0 for none.
        individual_answers: likewise of the individual encoder.
        dtype: type that is computed in, by name: 'float32' or 'bfloat16'. Parameters, codes and images stay float32.
    """

    channels: int
    width: int
    class_width: int
    class_code_size: int
    class_downsamplings: int
    class_head_width: int
    individual_downsamplings: int
    individual_code_channels: int
    individual_code_rounded: bool
    individual_norm: str
    residual_blocks: int
    mlp_width: int
    stem_kernel: int
    upsample_kernel: int
    output_kernel: int
    block: int
    answers: int
    individual_answers: int
    dtype: str

    @property
    def told(self) -> int:
        """Number K of classes whose probabilities `encode` needs; 0 if it needs none."""
        return self.answers or self.individual_answers

    @property
    def stride(self) -> int:
        """What image sides must be a multiple of."""
        return self.block * 2 ** max(self.class_downsamplings, self.individual_downsamplings)

    def setup(self) -> None:
        """Makes the parts."""
        dtype = jnp.dtype(self.dtype)
        self.class_encoder = ClassEncoder(
            width=self.class_width,
            downsamplings=self.class_downsamplings,
            code_size=self.class_code_size,
            head_width=self.class_head_width,
            kernel=self.stem_kernel,
            dtype=dtype,
        )
        self.individual_encoder = IndividualEncoder(
            width=self.width,
            downsamplings=self.individual_downsamplings,
            residual_blocks=self.residual_blocks,
            code_channels=self.individual_code_channels,
            rounded=self.individual_code_rounded,
            norm=self.individual_norm,
            kernel=self.stem_kernel,
            dtype=dtype,
        )
        if self.individual_code_rounded:
            self.code_prior = CodePrior()
        self.decoder = Decoder(
            channels=self.channels * self.block**2,
            width=self.width,
            upsamplings=self.individual_downsamplings,
            residual_blocks=self.residual_blocks,
            mlp_width=self.mlp_width,
            upsample_kernel=self.upsample_kernel,
            output_kernel=self.output_kernel,
            code_channels=self.individual_code_channels,
            dtype=dtype,
        )

    def code_bits(self, individual_code: jax.Array) -> jax.Array:
        """Bits `[batch]` of individual codes that are rounded, or have noise in place of it."""
        return self.code_prior(individual_code)

    def encode(
        self, images: jax.Array, answers: jax.Array | None = None, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Encodes `[batch, height, width, channels]` in [-1, 1].

        Args:
            images: see above.
            answers: the classifier's probabilities for them, `[batch, K]`; needed where `told` is K.
            key: PRNG key of uniform noise in place of rounding, for training; None to round.

        Returns:
            Individual codes `[batch, h, w, code]` and class codes `[batch, class_code_size]`.
        """
        blocks = to_blocks(images, self.block)
        individual = self.individual_encoder(blocks, answers if self.individual_answers else None)
        if self.individual_code_rounded:
            if key is None:
                individual = jnp.round(individual)
            else:
                individual += jax.random.uniform(key, individual.shape, individual.dtype, -0.5, 0.5)
        return individual, self.class_encoder(blocks, answers if self.answers else None)

    def decode(self, individual_code: jax.Array, class_code: jax.Array) -> jax.Array:
        """Decodes codes, as `encode` returns them, into `[batch, height, width, channels]` in [-1, 1]."""
        drawn = from_blocks(self.decoder(individual_code, class_code), self.block)
        return drawn if self.block == 1 else smooth(drawn)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Reconstructs images, whose answers are not known: decodes their own codes."""
        answers = jnp.zeros((len(images), self.told)) if self.told else None
        individual_code, class_code = self.encode(images, answers)
        if self.individual_code_rounded and self.is_initializing():
            self.code_prior(individual_code)
        return self.decode(individual_code, class_code)
