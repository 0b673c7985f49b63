"""The class encoder: image to class code."""

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from cae_jax.models.layers import ReflectConv, at_least_float32, he_normal


class ClassEncoder(nn.Module):
    """Maps images to class codes, what the classifier's decision depends on.

    No normalisation anywhere: the intensities may matter for the class. With `head_width = 0` the published head (1×1
    convolution, then the mean over positions); otherwise a 3×3 convolution, flattening and a hidden layer of that
    width, which lets the code depend on where something is.

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
    def __call__(self, images: jax.Array) -> jax.Array:
        """Encodes `[batch, height, width, channels]` in [-1, 1] into `[batch, code_size]` float32."""
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
        return at_least_float32(code)
