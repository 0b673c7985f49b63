"""Two small classifiers of different architecture: one to explain, one as the oracle."""

from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax

from cae_jax.types import Predict


class SmallCNN(nn.Module):
    """Three strided convolutions and a hidden layer: the classifier that is explained when no other is named."""

    num_classes: int
    width: int = 32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Reads `[batch, height, width, channels]` in [0, 1] and returns logits `[batch, K]`."""
        h = images * 2.0 - 1.0
        h = nn.relu(nn.Conv(self.width, (5, 5), strides=2, name="conv_0")(h))
        h = nn.relu(nn.Conv(2 * self.width, (3, 3), strides=2, name="conv_1")(h))
        h = nn.relu(nn.Conv(4 * self.width, (3, 3), strides=2, name="conv_2")(h))
        h = h.reshape(h.shape[0], -1)
        h = nn.relu(nn.Dense(4 * self.width, name="hidden")(h))
        h = nn.Dropout(0.5, deterministic=not train)(h)
        return nn.Dense(self.num_classes, name="logits")(h)


class ResidualClassifier(nn.Module):
    """A residual network with group norm and global pooling: the oracle, which shares nothing with `SmallCNN`."""

    num_classes: int
    width: int = 24

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Reads `[batch, height, width, channels]` in [0, 1] and returns logits `[batch, K]`."""
        h = nn.Conv(self.width, (5, 5), strides=2, name="stem")(images * 2.0 - 1.0)
        for i, (features, stride) in enumerate(((1, 1), (2, 2), (4, 2))):
            y = nn.relu(nn.GroupNorm(num_groups=8, name=f"norm_{i}_0")(h))
            skip = h
            if stride > 1:
                skip = nn.Conv(features * self.width, (1, 1), strides=stride, name=f"skip_{i}")(y)
            y = nn.Conv(features * self.width, (3, 3), strides=stride, name=f"conv_{i}_0")(y)
            y = nn.relu(nn.GroupNorm(num_groups=8, name=f"norm_{i}_1")(y))
            h = skip + nn.Conv(features * self.width, (3, 3), name=f"conv_{i}_1")(y)
        h = nn.relu(nn.GroupNorm(num_groups=8, name="norm_out")(h)).mean((1, 2))
        h = nn.Dropout(0.2, deterministic=not train)(h)
        return nn.Dense(self.num_classes, name="logits")(h)


ARCHITECTURES: dict[str, type[nn.Module]] = {"small_cnn": SmallCNN, "residual": ResidualClassifier}


def make_classifier(architecture: str, num_classes: int) -> nn.Module:
    """Builds a classifier's network by name.

    Raises:
        ValueError: for an unknown name.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"a classifier's architecture is one of {', '.join(ARCHITECTURES)}, not {architecture!r}")
    return ARCHITECTURES[architecture](num_classes)


def make_logits(network: nn.Module, params: Any) -> Callable[[jax.Array], jax.Array]:
    """Closes a network over its parameters: images in [0, 1] to scores before the softmax, `[batch, K]`."""
    return lambda images: cast(jax.Array, network.apply({"params": params}, images))


def make_predict(network: nn.Module, params: Any) -> Predict:
    """Closes a network over its parameters: images in [0, 1] to probabilities `[batch, K]`."""
    logits = make_logits(network, params)
    return lambda images: jax.nn.softmax(logits(images))
