"""Writes `baselines.npz`: maps by Captum of a tiny network, for `tests/test_baseline_maps.py`.

pip install torch==2.13.0 captum==0.9.0 numpy, then python tests/expected/make_baselines.py

Weights are stored as Flax has them (kernels height, width, in, out; channels last), images as
`[N, height, width, channels]`.
"""
# pyright: reportMissingImports=false

import pathlib

import captum
import numpy as np
import torch
from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam, Occlusion, Saliency

SIDE, CHANNELS, CLASSES, IMAGES = 8, 3, 3, 4
STEPS, PATCH, STRIDE, FILL, BASELINE = 32, 4, 2, 0.25, 0.5

torch.manual_seed(0)
network = torch.nn.Sequential(
    torch.nn.Conv2d(CHANNELS, 4, 3),
    torch.nn.ReLU(),
    torch.nn.Conv2d(4, 6, 3),
    torch.nn.ReLU(),
    torch.nn.Flatten(),
    torch.nn.Linear(6 * 4 * 4, CLASSES),
)
images = torch.rand(IMAGES, CHANNELS, SIDE, SIDE)
classes = torch.tensor([0, 2, 1, 2])


def probabilities(x: torch.Tensor) -> torch.Tensor:
    """The network's answers."""
    return network(x).softmax(-1)


first, second, last = network[0], network[2], network[5]
ways = IntegratedGradients(network).attribute(
    images, torch.full_like(images, BASELINE), classes, n_steps=STEPS, method="riemann_middle"
)
coarse = LayerGradCam(network, second).attribute(images, classes, relu_attributions=True)
hidden = Occlusion(probabilities).attribute(
    images, (CHANNELS, PATCH, PATCH), strides=(CHANNELS, STRIDE, STRIDE), baselines=FILL, target=classes
)
values = {
    "images": images.permute(0, 2, 3, 1),
    "classes": classes.int(),
    "kernel_0": first.weight.permute(2, 3, 1, 0),
    "bias_0": first.bias,
    "kernel_1": second.weight.permute(2, 3, 1, 0),
    "bias_1": second.bias,
    # rows from [channels, height, width] to [height, width, channels]
    "kernel_2": last.weight.reshape(CLASSES, 6, 4, 4).permute(2, 3, 1, 0).reshape(-1, CLASSES),
    "bias_2": last.bias,
    "logits": network(images),
    "gradient": Saliency(network).attribute(images, classes, abs=True).amax(1),
    "input_times_gradient": InputXGradient(network).attribute(images, classes).sum(1),
    "integrated_gradients": ways.sum(1),
    "grad_cam": torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0],
    "occlusion": hidden.mean(1),  # the same in all channels
}
np.savez(
    pathlib.Path(__file__).with_name("baselines.npz"),
    versions=np.asarray([f"torch {torch.__version__}", f"captum {captum.__version__}", f"numpy {np.__version__}"]),
    settings=np.asarray([STEPS, PATCH, STRIDE, FILL, BASELINE]),
    **{name: np.ascontiguousarray(value.detach().numpy()) for name, value in values.items()},
)
