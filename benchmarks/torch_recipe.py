"""The published networks and path search in plain, eager PyTorch, from weights of ours: a second opinion on what they
compute (`benchmarks/full_size.py`), and what our speed is measured by.

Written from the paper's description, with the sizes read from the weights. The search takes one image at a time, as
published.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
import torch.nn.functional as F
from flax.traverse_util import flatten_dict

from cae_jax.errors import InputError
from cae_jax.models.codec import FADING, WINDOW

Tensors = dict[str, torch.Tensor]


def beside_jax() -> torch.device:
    """The device that JAX computes on by default, as PyTorch calls it, so that both are measured on the same one.

    Raises:
        InputError: if PyTorch cannot use it.
    """
    platform = jax.default_backend()
    if platform == "gpu" and torch.cuda.is_available():
        return torch.device("cuda", jax.devices()[0].local_hardware_id or 0)
    if platform != "cpu":
        raise InputError(
            f"JAX computes on a {platform} here, which PyTorch {torch.__version__} cannot use; install one that "
            f"can, or set JAX_PLATFORMS=cpu to compare both on the CPU"
        )
    return torch.device("cpu")


def to_torch(params: Mapping[str, Any], device: torch.device) -> Tensors:
    """Flax parameters as tensors by path, convolutions as [out, in, height, width] and linear ones as [out, in]."""
    tensors = {}
    for name, value in flatten_dict(params, sep="/").items():
        array = np.asarray(value)
        if name.endswith("kernel"):
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        tensors[name] = torch.from_numpy(np.array(array, order="C")).to(device)
    return tensors


def _convolve(w: Tensors, name: str, x: torch.Tensor, padding: int, stride: int = 1) -> torch.Tensor:
    if padding:
        x = F.pad(x, [padding] * 4, mode="reflect")
    return F.conv2d(x, w[f"{name}/kernel"], w[f"{name}/bias"], stride=stride)


def _count(w: Tensors, prefix: str) -> int:
    """How many layers are called `prefix` and a number."""
    return len({name.split("/")[0] for name in w if name.startswith(prefix)})


def _stem(w: Tensors, x: torch.Tensor) -> torch.Tensor:
    return _convolve(w, "stem/conv", x, w["stem/conv/kernel"].shape[-1] // 2)


def _linear(w: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    return F.linear(x, w[f"{name}/kernel"], w[f"{name}/bias"])


def _adaptive_norm(x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    bias, scale = style[:, 0, :, None, None], style[:, 1, :, None, None]
    return F.instance_norm(x, eps=1e-5) * scale + bias


def _layer_norm(w: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    mean, deviation = x.mean((1, 2, 3), keepdim=True), x.std((1, 2, 3), keepdim=True)
    scale, bias = w[f"{name}/scale"][:, None, None], w[f"{name}/bias"][:, None, None]
    return (x - mean) / (deviation + 1e-5) * scale + bias


def encode_class(w: Tensors, images: torch.Tensor) -> torch.Tensor:
    """Class codes `[batch, size]` of images `[batch, channels, H, W]` in [-1, 1], by the published head."""
    x = torch.relu(_stem(w, images))
    for i in range(_count(w, "down_")):
        x = torch.relu(_convolve(w, f"down_{i}/conv", x, 1, stride=2))
    return _convolve(w, "head/conv", x, 0).mean((2, 3))


def encode_individual(w: Tensors, images: torch.Tensor) -> torch.Tensor:
    """Individual codes `[batch, channels, h, w]` of images `[batch, channels, H, W]` in [-1, 1], without bottleneck."""
    x = torch.relu(F.instance_norm(_stem(w, images), eps=1e-5))
    for i in range(_count(w, "down_")):
        x = torch.relu(F.instance_norm(_convolve(w, f"down_{i}/conv", x, 1, stride=2), eps=1e-5))
    for i in range(_count(w, "block_")):
        y = torch.relu(F.instance_norm(_convolve(w, f"block_{i}/conv_0/conv", x, 1), eps=1e-5))
        x = x + F.instance_norm(_convolve(w, f"block_{i}/conv_1/conv", y, 1), eps=1e-5)
    return x


def discriminate(w: Tensors, images: torch.Tensor, dropout: float = 0.0) -> torch.Tensor:
    """Logits `[batch, 2 + K]` of fake, real and the classes."""
    x = images
    for i in range(_count(w, "down_")):
        x = F.leaky_relu(_convolve(w, f"down_{i}/conv", x, 1, stride=2), 0.2)
    for i in range(_count(w, "block_")):
        y = F.leaky_relu(_convolve(w, f"block_{i}/conv_0/conv", x, 1), 0.2)
        x = x + _convolve(w, f"block_{i}/conv_1/conv", y, 1)
    hidden = F.dropout(torch.relu(_linear(w, "hidden", x.mean((2, 3)))), dropout)
    return _linear(w, "logits", hidden)


def decode(w: Tensors, individual_code: torch.Tensor, class_code: torch.Tensor) -> torch.Tensor:
    """Decodes `[batch, channels, h, w]` and `[batch, size]` into images `[batch, channels, H, W]` in [-1, 1]."""
    blocks, ups = _count(w, "block_"), _count(w, "up_")
    h = torch.relu(_linear(w, "mlp_0", class_code))
    h = torch.relu(_linear(w, "mlp_1", h))
    style = _linear(w, "mlp_2", h).reshape(len(class_code), blocks, 2, 2, -1)
    x = individual_code
    if "expand/conv/kernel" in w:
        x = _convolve(w, "expand/conv", x, 1)
    for i in range(blocks):
        y = torch.relu(_adaptive_norm(_convolve(w, f"block_{i}/conv_0/conv", x, 1), style[:, i, 0]))
        x = x + _adaptive_norm(_convolve(w, f"block_{i}/conv_1/conv", y, 1), style[:, i, 1])
    for i in range(ups):
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = _convolve(w, f"up_{i}", x, w[f"up_{i}/kernel"].shape[-1] // 2)
        x = torch.relu(_layer_norm(w, f"norm_{i}", x))
    return torch.tanh(_convolve(w, "output", x, w["output/kernel"].shape[-1] // 2))


def from_blocks(x: torch.Tensor, side: int) -> torch.Tensor:
    """Turns channels `[batch, side²·C, h, w]` into blocks of pixels and smooths them, as `CAE.decode` does."""
    if side == 1:
        return x
    batch, channels, height, width = x.shape
    x = x.reshape(batch, side, side, channels // side**2, height, width).permute(0, 3, 4, 1, 5, 2)
    pixels = F.pad(x.reshape(-1, 1, height * side, width * side), [1, 1, 1, 1], mode="reflect")
    weights = torch.tensor([0.25, 0.5, 0.25], device=x.device)
    smoothed = F.conv2d(pixels, torch.outer(weights, weights)[None, None])
    return smoothed.reshape(batch, channels // side**2, height * side, width * side)


def keep_exemplar(exemplar: np.ndarray, reconstruction: np.ndarray, drawn: torch.Tensor, residual: str) -> torch.Tensor:
    """What is drawn `[1, channels, H, W]` in [0, 1], with what it keeps of its exemplar; as in `models/codec.py`.

    Args:
        exemplar: `[H, W, channels]` in [0, 1].
        reconstruction: likewise, what the decoder draws of it.
        drawn: with another class code.
        residual: 'exemplar' or 'detail', see `model.residual`.
    """
    image, start = (torch.tensor(x, device=drawn.device).permute(2, 0, 1)[None] for x in (exemplar, reconstruction))
    change = (drawn - start).abs().mean(1, keepdim=True)
    change = F.avg_pool2d(change, WINDOW, 1, WINDOW // 2, count_include_pad=False)
    kept = torch.exp(-((change / FADING) ** 2))
    if residual == "detail":
        return (drawn + kept * (image - start)).clamp(0.0, 1.0)
    return kept * image + (1.0 - kept) * drawn


def _strided(w: Tensors, name: str, x: torch.Tensor, side: int) -> torch.Tensor:
    """Stride 2 with Flax's 'SAME' padding."""
    before, after = [], []
    for size in x.shape[-2:]:
        total = max((-(-size // 2) - 1) * 2 + side - size, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    x = F.pad(x, [before[1], after[1], before[0], after[0]])
    return torch.relu(F.conv2d(x, w[f"{name}/kernel"], w[f"{name}/bias"], stride=2))


def classify(w: Tensors, images: torch.Tensor) -> torch.Tensor:
    """The small classifier: images `[batch, channels, H, W]` in [0, 1] to probabilities."""
    h = images * 2.0 - 1.0
    for i, side in enumerate((5, 3, 3)):
        h = _strided(w, f"conv_{i}", h, side)
    h = h.permute(0, 2, 3, 1).reshape(len(h), -1)  # Flax flattens channels last
    h = torch.relu(_linear(w, "hidden", h))
    return _linear(w, "logits", h).softmax(-1)


class Found(NamedTuple):
    """Flip shift and confident shift (NaN where there is none), and how many images were decoded."""

    flip_shift: float
    shift: float
    decodes: int


Probe = Callable[[float], tuple[bool, bool]]
"""Whether, at a shift, the answer has flipped, and whether the target is confident there too."""


@torch.no_grad()
def make_probe(
    draw: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    predict: Callable[[torch.Tensor], torch.Tensor],
    individual_code: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    target: int,
    confidence: float,
    device: torch.device,
) -> Probe:
    """One image's path as a function of the shift; codes as ours, channels last."""
    code = torch.from_numpy(individual_code).to(device).permute(2, 0, 1)[None].contiguous()
    first, last = (torch.from_numpy(code)[None].to(device) for code in (start, end))

    @torch.no_grad()
    def probe(shift: float) -> tuple[bool, bool]:
        probabilities = predict(draw(code, first + shift * (last - first)))[0]
        flipped = int(probabilities.argmax()) == target
        return flipped, flipped and float(probabilities[target]) >= confidence

    return probe


def fine_scan(probe: Probe, tolerance: float) -> Found:
    """The published search, its steps as small as the tolerance: shift by shift until the target is confident."""
    steps = round(1 / tolerance)
    flip = float("nan")
    for number in range(steps + 1):
        flipped, confident = probe(number / steps)
        if flipped and np.isnan(flip):
            flip = number / steps
        if confident:
            return Found(flip, number / steps, number + 1)
    return Found(flip, float("nan"), steps + 1)


def bracket_and_bisect(probe: Probe, tolerance: float, intervals: int = 16) -> Found:
    """A coarse scan until the target is confident, then bisection of both crossings."""
    high = [float("nan"), float("nan")]
    decodes = 0
    for number in range(intervals + 1):
        hits = probe(number / intervals)
        decodes += 1
        for which in range(2):
            if hits[which] and np.isnan(high[which]):
                high[which] = number / intervals
        if hits[1]:
            break
    for which in range(2):
        low = max(high[which] - 1 / intervals, 0.0)
        while high[which] - low > tolerance:
            middle = (low + high[which]) / 2
            decodes += 1
            if probe(middle)[which]:
                high[which] = middle
            else:
                low = middle
    return Found(high[0], high[1], decodes)
