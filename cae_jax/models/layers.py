"""Layers shared by the networks: reflection-padded convolution, the norms, residual blocks."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from cae_jax.models.convolve import convolve

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def at_least_float32(x: jax.Array) -> jax.Array:
    """Widens low-precision floats to float32, for statistics, codes and logits; float64 stays."""
    return x.astype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)


def reflect_along(x: jax.Array, padding: int, axis: int) -> jax.Array:
    """Pads one axis by reflection (the border is not repeated), of parts whose gradients are put together again.

    As `jnp.pad` does, in a third of the time on a CPU, and without exchange between devices that share a batch.
    """
    size = x.shape[axis]
    if size < 2 * padding + 2:  # too small for the two mirrored parts to lie apart
        return jnp.pad(x, [(padding, padding) if a == axis else (0, 0) for a in range(x.ndim)], mode="reflect")
    parts = lax.split(x, (1, padding, size - 2 * padding - 2, padding, 1), axis)
    mirrored = [lax.rev(part, (axis,)) for part in (parts[1], parts[3])]
    return lax.concatenate([mirrored[0], *parts, mirrored[1]], axis)


def reflect_pad(x: jax.Array, padding: int) -> jax.Array:
    """Pads height and width of `[batch, height, width, channels]` by reflection."""
    return reflect_along(reflect_along(x, padding, 1), padding, 2) if padding else x


def to_blocks(x: jax.Array, side: int) -> jax.Array:
    """Turns blocks of pixels into channels: `[batch, height, width, C]` to `[batch, height/side, width/side, side²·C]`.

    Convolutions at full resolution of few channels take most of the time on a CPU and give little.
    """
    if side == 1:
        return x
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // side, width // side, side * side * channels)


def from_blocks(x: jax.Array, side: int) -> jax.Array:
    """Undoes `to_blocks`."""
    if side == 1:
        return x
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, side, side, channels // side**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height * side, width * side, channels // side**2)


def smooth(x: jax.Array) -> jax.Array:
    """Averages every pixel of `[batch, height, width, C]` with its neighbours, by 1, 2, 1 in both directions.

    Nothing is left of a chequerboard of single pixels, the pattern that convolutions of stride 2 draw and see.
    """
    for axis in (1, 2):
        padded = reflect_along(x, 1, axis)
        size = x.shape[axis]
        below, here, above = (lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(3))
        x = 0.25 * below + 0.5 * here + 0.25 * above
    return x


def instance_norm(x: jax.Array, eps: float = 1e-5) -> jax.Array:
    """Normalises each channel of each sample over its positions, without affine parameters (biased variance)."""
    statistics = at_least_float32(x)
    mean = statistics.mean((1, 2), keepdims=True)
    variance = statistics.var((1, 2), keepdims=True)
    return ((statistics - mean) * lax.rsqrt(variance + eps)).astype(x.dtype)


def adaptive_instance_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """Instance norm whose `scale` and `bias`, both `[batch, channels]`, come from the class code.

    The scale is used as it is, not as `1 + scale`, as in the published networks.
    """
    return instance_norm(x) * scale[:, None, None, :] + bias[:, None, None, :]


class SampleLayerNorm(nn.Module):
    """Layer norm over height, width and channels of a sample, then a scale and a bias per channel.

    As published: the *unbiased* standard deviation, with `eps` added outside the root, scale drawn from U(0, 1).
    """

    eps: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises `[batch, height, width, channels]`."""
        scale = self.param("scale", nn.initializers.uniform(1.0), (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros_init(), (x.shape[-1],))
        statistics = at_least_float32(x)
        mean = statistics.mean((1, 2, 3), keepdims=True)
        deviation = statistics.std((1, 2, 3), keepdims=True, ddof=1)
        normalised = ((statistics - mean) / (deviation + self.eps)).astype(x.dtype)
        return normalised * scale.astype(x.dtype) + bias.astype(x.dtype)


def valid_conv(features: int, kernel: int, stride: int = 1, **options: Any) -> nn.Conv:
    """Flax's convolution with a bias, without padding, in the form of `models/convolve.py`."""
    form = lambda x, kernel, *_, **__: convolve(x, kernel, stride)  # noqa: E731
    options = {"kernel_init": he_normal} | options
    return nn.Conv(features, (kernel, kernel), padding="VALID", conv_general_dilated=form, **options)


class ReflectConv(nn.Module):
    """Convolution with a bias over a reflection-padded input.

    Attributes:
        features: output channels.
        kernel: side of the square kernel.
        stride: step in both directions.
        padding: pixels reflected at each side.
        dtype: type that is computed in; parameters stay float32.
        kernel_init: initialiser of the kernel; biases start at 0.
    """

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dtype: DTypeLike = jnp.float32
    kernel_init: Callable = he_normal

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves `[batch, height, width, channels]`."""
        options = {"dtype": self.dtype, "kernel_init": self.kernel_init, "name": "conv"}
        return valid_conv(self.features, self.kernel, self.stride, **options)(reflect_pad(x, self.padding))


class ResidualBlock(nn.Module):
    """conv3, norm, activation, conv3, norm, then the skip; nothing after the sum.

    `norms` are the two normalisations; the decoder hands in adaptive ones, the discriminator none.
    """

    activation: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: DTypeLike = jnp.float32
    kernel_init: Callable = he_normal

    @nn.compact
    def __call__(self, x: jax.Array, norms: Sequence[Callable] | None = None) -> jax.Array:
        """Adds the block's output to `[batch, height, width, channels]`."""
        first, second = norms or (lambda h: h, lambda h: h)
        conv = functools.partial(ReflectConv, x.shape[-1], 3, 1, 1, self.dtype, self.kernel_init)
        h = self.activation(first(conv(name="conv_0")(x)))
        return x + second(conv(name="conv_1")(h))
