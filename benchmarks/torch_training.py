"""A training step of the published recipe in plain, eager PyTorch, on weights of ours: what our speed is measured by.

As published, the discriminator is updated on swaps of its own, then the generator against it with another pass.
"""

import functools
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.torch_recipe import decode, discriminate, encode_class, encode_individual, to_torch

FAKE, REAL = 0, 1


class PublishedStep:
    """Networks and optimizers; calling it takes one step.

    Attributes:
        generator: tensors of `class_encoder`, `individual_encoder` and `decoder`.
        discriminator: tensors.
    """

    def __init__(
        self,
        generator: Mapping[str, Any],
        discriminator: Mapping[str, Any],
        rate: float,
        dropout: float,
        device: torch.device,
        autocast: bool = False,
    ):
        """Prepares networks and optimizers.

        Args:
            generator: Flax parameters.
            discriminator: Flax parameters.
            rate: learning rate of both optimizers.
            dropout: of the discriminator.
            device: that holds the weights and computes.
            autocast: whether forward passes compute in bfloat16 where PyTorch's autocast has it.
        """
        self.generator = {part: to_torch(params, device) for part, params in generator.items()}
        self.discriminator = to_torch(discriminator, device)
        self._dropout = dropout
        self._autocast = functools.partial(torch.autocast, device.type, torch.bfloat16, autocast)
        learned = [tensor for part in self.generator.values() for tensor in part.values()]
        self._optimizers = [
            torch.optim.Adam([tensor.requires_grad_() for tensor in tensors], rate, (0.5, 0.999), weight_decay=1e-4)
            for tensors in (learned, list(self.discriminator.values()))
        ]

    def _encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            encode_individual(self.generator["individual_encoder"], x),
            encode_class(self.generator["class_encoder"], x),
        )

    def _decode(self, individual_code: torch.Tensor, class_code: torch.Tensor) -> torch.Tensor:
        return decode(self.generator["decoder"], individual_code, class_code)

    def _judge(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = discriminate(self.discriminator, x, self._dropout)
        return logits[:, :2], logits[:, 2:]

    def _discriminator_loss(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            codes, class_codes = self._encode(x)
            swaps = self._decode(codes, _exchange(class_codes))
        fakes, _ = self._judge(swaps)
        reals, classes = self._judge(x)
        loss = F.cross_entropy(fakes, torch.full_like(labels, FAKE)) + F.cross_entropy(
            reals, torch.full_like(labels, REAL)
        )
        return 2.0 * (loss + 2.0 * F.cross_entropy(classes, labels))  # the mean over pairs of a's and b's, added

    def _generator_loss(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        codes, class_codes = self._encode(x)
        reconstructions, swaps = self._decode(codes, class_codes), self._decode(codes, _exchange(class_codes))
        swap_codes, swap_class_codes = self._encode(swaps)
        cycles = self._decode(swap_codes, class_codes)
        reals, classes = self._judge(swaps)
        loss = (
            10.0 * F.l1_loss(reconstructions, x)
            + F.l1_loss(swap_class_codes, _exchange(class_codes))
            + F.l1_loss(swap_codes, codes)
            + 10.0 * F.l1_loss(cycles, x)
            + F.cross_entropy(reals, torch.full_like(labels, REAL))
            + F.cross_entropy(classes, _exchange(labels))
        )
        return 2.0 * loss

    def __call__(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step.

        Args:
            x: `[2P, channels, height, width]` in [-1, 1], the images of pair after pair.
            labels: `[2P]`.

        Returns:
            `discriminator_total` and `generator_total`, which a device may still be computing: nothing waits for it.
        """
        with self._autocast():
            discriminator = self._discriminator_loss(x, labels)
        _step(discriminator, self._optimizers[1])
        with self._autocast():
            generator = self._generator_loss(x, labels)
        _step(generator, self._optimizers[0])
        return {"discriminator_total": discriminator.detach(), "generator_total": generator.detach()}


def _exchange(x: torch.Tensor) -> torch.Tensor:
    """Gives each sample its partner's row."""
    return x.reshape(-1, 2, *x.shape[1:]).flip(1).reshape(x.shape)


def _step(loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
