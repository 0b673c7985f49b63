"""A small convolutional autoencoder, trained without any classifier, for methods that need one."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cae_jax.baselines.inputs import Array, check_positive
from cae_jax.descent import descend
from cae_jax.images import from_model, to_model, unit_images
from cae_jax.parallel.batching import map_batches

_STRIDE = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Autoencoder:
    """A trained autoencoder.

    Attributes:
        params: parameters of encoder and decoder.
        encode: function from images `[batch, height, width, channels]` in [0, 1] to codes `[batch, size]`; JAX can
            trace it.
        decode: function from codes to images in [0, 1]; JAX can trace it.
    """

    params: Any
    encode: Callable[[jax.Array], jax.Array]
    decode: Callable[[jax.Array], jax.Array]

    def reconstruct(self, images: Array, *, batch_size: int = 64) -> np.ndarray:
        """Encodes and decodes any number of images.

        Args:
            images: `[N, height, width, channels]`, uint8 or float in [0, 1].
            batch_size: number of images in a compiled call.

        Returns:
            Reconstructions, `[N, height, width, channels]` float32 in [0, 1].
        """
        function = jax.jit(lambda batch: self.decode(self.encode(batch)))
        return map_batches(function, unit_images(images), batch_size=batch_size)


class _Encoder(nn.Module):
    size: int
    width: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        h = nn.relu(nn.Conv(self.width, (_STRIDE, _STRIDE), strides=_STRIDE)(images))
        h = nn.relu(nn.Conv(self.width, (3, 3))(h))
        return nn.Dense(self.size)(h.reshape(h.shape[0], -1))


class _Decoder(nn.Module):
    image_shape: tuple[int, int, int]  # padded
    width: int

    @nn.compact
    def __call__(self, codes: jax.Array) -> jax.Array:
        height, width, channels = self.image_shape
        rows, columns = height // _STRIDE, width // _STRIDE
        h = nn.relu(nn.Dense(rows * columns * self.width)(codes)).reshape(-1, rows, columns, self.width)
        h = nn.relu(nn.Conv(self.width, (3, 3))(h))
        h = nn.Conv(_STRIDE * _STRIDE * channels, (3, 3))(h)  # the channels of each place become its 4x4 pixels
        h = h.reshape(-1, rows, columns, _STRIDE, _STRIDE, channels).transpose(0, 1, 3, 2, 4, 5)
        return h.reshape(-1, height, width, channels)


def fit_autoencoder(
    images: Array,
    *,
    seed: int,
    steps: int = 1000,
    size: int = 64,
    width: int = 32,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
) -> Autoencoder:
    """Trains an autoencoder on the pixels' binary cross-entropy, by Adam with a cosine schedule of the learning rate.

    Encoder and decoder each have two convolutions and a linear layer; the first convolution reads blocks of 4x4 pixels,
    and the last one writes them.

    Args:
        images: training images, `[N, height, width, channels]`, uint8 or float in [0, 1]. Sides that are not multiples
            of 4 are padded internally.
        seed: seed of the initial parameters and of the batches.
        steps: number of training steps.
        size: size of a code.
        width: number of channels of the convolutions.
        batch_size: number of images in a step, drawn with replacement.
        learning_rate: initial learning rate, which falls to 0.

    Raises:
        ValueError: for images of another shape or range, or numbers that are not positive.
    """
    check_positive(steps=steps, size=size, width=width, batch_size=batch_size, learning_rate=learning_rate)
    unit = unit_images(images)
    side = (unit.shape[1], unit.shape[2])
    padded = jax.eval_shape(lambda x: to_model(x, _STRIDE), unit[:1]).shape[1:]
    encoder, decoder = _Encoder(size, width), _Decoder(padded, width)

    def encode(params: Any, batch: jax.Array) -> jax.Array:
        return cast(jax.Array, encoder.apply({"params": params["encoder"]}, to_model(batch, _STRIDE)))

    def scores(params: Any, codes: jax.Array) -> jax.Array:
        return cast(jax.Array, decoder.apply({"params": params["decoder"]}, codes))

    def decode(params: Any, codes: jax.Array) -> jax.Array:
        return from_model(jnp.tanh(scores(params, codes) / 2.0), side)

    def loss(params: Any, batch: jax.Array) -> jax.Array:
        wanted = to_model(batch, _STRIDE) * 0.5 + 0.5
        return optax.sigmoid_binary_cross_entropy(scores(params, encode(params, batch)), wanted).mean()

    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    keys = jax.random.split(jax.random.key(seed))
    params: Any = {
        "encoder": jax.jit(encoder.init)(keys[0], jnp.zeros((1, *padded)))["params"],
        "decoder": jax.jit(decoder.init)(keys[1], jnp.zeros((1, size)))["params"],
    }
    rng = np.random.default_rng(seed)
    batches = ((unit[rng.integers(len(unit), size=batch_size)],) for _ in range(steps))
    params = descend(loss, optimizer, (params, optimizer.init(params)), batches)
    return Autoencoder(params, lambda batch: encode(params, batch), lambda codes: decode(params, codes))
