"""The discriminator: is the image real, and which class is it?"""

import functools

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from cae_jax.models.layers import ReflectConv, ResidualBlock, at_least_float32, to_blocks

FAKE, REAL = 0, 1


class Discriminator(nn.Module):
    """Tells real images from swaps and names the class, from one trunk.

    Attributes:
        num_classes: K, the number of classes.
        conditional: whether real and fake are told apart for each class by itself: 'a real image of this class' (the
            multi-task discriminator of Choi et al. 2020, arXiv 1912.01865). As published, it is once for all.
        width: channels after the first convolution; they double at every further one.
        downsamplings: convolutions of stride 2, the first included.
        residual_blocks: number of residual blocks after them.
        pooled: whether features are averaged over all places before the hidden layer, as published; else it sees each
            place by itself, and images must always have the same size.
        hidden: width of the last hidden layer.
        dropout: rate before the logits.
        kernel_init: how kernels begin: 'normal', of deviation 0.02, as published, or 'he', by fan-in (He et al. 2015,
            arXiv 1502.01852), with which narrow networks learn far sooner.
        block: side of the blocks of pixels that it takes as channels.
        dtype: type that is computed in.
    """

    num_classes: int
    conditional: bool
    width: int
    downsamplings: int
    residual_blocks: int
    pooled: bool
    hidden: int
    dropout: float
    kernel_init: str
    block: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """Judges `[batch, height, width, channels]` in [-1, 1].

        Args:
            images: batch of images.
            train: whether there is dropout, which needs a `dropout` key.

        Returns:
            Logits of fake and real, `[batch, 2]` or, if conditional, `[batch, K, 2]`, and of the classes `[batch, K]`,
            float32.
        """
        init = {"normal": nn.initializers.normal(0.02), "he": nn.initializers.he_normal()}[self.kernel_init]
        activation = functools.partial(nn.leaky_relu, negative_slope=0.2)
        h = to_blocks(images, self.block)
        for i in range(self.downsamplings):
            h = activation(ReflectConv(self.width * 2**i, 4, 2, 1, self.dtype, init, name=f"down_{i}")(h))
        for i in range(self.residual_blocks):
            h = ResidualBlock(activation, self.dtype, init, name=f"block_{i}")(h)
        h = h.mean((1, 2)) if self.pooled else h.reshape(h.shape[0], -1)
        h = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, kernel_init=init, name="hidden")(h))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        judged = 2 * self.num_classes if self.conditional else 2
        logits = nn.Dense(judged + self.num_classes, dtype=self.dtype, kernel_init=init, name="logits")(h)
        logits = at_least_float32(logits)
        real_fake, classes = logits[:, :judged], logits[:, judged:]
        return (real_fake.reshape(-1, self.num_classes, 2) if self.conditional else real_fake), classes
