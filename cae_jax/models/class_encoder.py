"""The class encoder: image to class code."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from cae_jax.models.layers import ReflectConv, at_least_float32, he_normal

LEAST = 1e-3  # probabilities below it are taken for the same


class ClassEncoder(nn.Module):
    """Maps images to class codes, what the classifier's decision depends on.

    No normalisation anywhere: the intensities may matter for the class. With `head_width = 0` the published head (1×1
    convolution, then the mean over positions); otherwise a 3×3 convolution, flattening and a hidden layer of that
    width, which lets the code depend on where something is.

    The code can be told the classifier's answer too, by a linear layer of the logarithms of the probabilities. A
    network that learns from a few thousand images what the classifier may have learned from many more does not agree
    with it on all new ones (on 0.87 of brain scans, `docs/experiments.md`), and a swap cannot be of a class that its
    donor's code does not say.

    Attributes:
        width: channels after the first convolution; they double twice, then stay.
        downsamplings: convolutions of stride 2.
        code_size: numbers in a class code.
        head_width: hidden width of the head, see above.
        kernel: side of the first kernel.
        dtype: type that is computed in.
    """

    width: int
    downsamplings: int
    code_size: int
    head_width: int
    kernel: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: jax.Array, answers: jax.Array | None = None) -> jax.Array:
        """Encodes images and what the classifier says of them.

        Args:
            images: `[batch, height, width, channels]` in [-1, 1].
            answers: the classifier's probabilities `[batch, K]`, rows that are not finite where it has none; or None.

        Returns:
            Class codes `[batch, code_size]` float32.
        """
        h = nn.relu(ReflectConv(self.width, self.kernel, 1, self.kernel // 2, self.dtype, name="stem")(images))
        for i in range(self.downsamplings):
            features = self.width * min(2 ** (i + 1), 4)
            h = nn.relu(ReflectConv(features, 4, 2, 1, self.dtype, name=f"down_{i}")(h))
        if self.head_width == 0:
            code = ReflectConv(self.code_size, 1, dtype=self.dtype, name="head")(h).mean((1, 2))
        else:
            h = nn.relu(ReflectConv(h.shape[-1], 3, 1, 1, self.dtype, name="conv")(h))
            h = h.reshape(h.shape[0], -1)
            h = nn.relu(nn.Dense(self.head_width, dtype=self.dtype, kernel_init=he_normal, name="hidden")(h))
            code = nn.Dense(self.code_size, dtype=self.dtype, kernel_init=he_normal, name="head")(h)
        code = at_least_float32(code)
        if answers is not None:
            known = jnp.where(jnp.isfinite(answers).all(-1, keepdims=True), answers, 0.0)
            logs = 1.0 + jnp.log(known + LEAST) / math.log(1.0 / LEAST)  # from 0, for a probability of 0, to 1
            code += nn.Dense(self.code_size, use_bias=False, kernel_init=he_normal, name="answer")(logs)
        return code
