"""The leakage probe: what an adversary reads of the class from individual codes."""

import flax.linen as nn
import jax


class LeakageProbe(nn.Module):
    """A small convolutional classifier of individual codes.

    The adversary that the individual encoder must leave in the dark. What it was left is measured by fresh probes, see
    `cae_jax.metrics`.

    Attributes:
        num_classes: K.
        width: channels of both layers.
    """

    num_classes: int
    width: int = 64

    @nn.compact
    def __call__(self, individual_codes: jax.Array) -> jax.Array:
        """Reads `[batch, h, w, code]` and returns logits `[batch, K]`."""
        h = nn.relu(nn.Conv(self.width, (3, 3), name="conv")(individual_codes))
        h = h.reshape(h.shape[0], -1)
        h = nn.relu(nn.Dense(self.width, name="hidden")(h))
        return nn.Dense(self.num_classes, name="logits")(h)
