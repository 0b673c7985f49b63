"""The same small classifier in other frameworks, as a user would bring it: files, and a module of one's own."""

import pathlib

import numpy as np

LAYERS = ("conv_0", "conv_1", "conv_2", "hidden", "logits")

MODULE = '''
"""A classifier of one's own: reads its weights, and is there for JAX, for numpy and for PyTorch."""

import pathlib

import numpy as np

WEIGHTS = dict(np.load(pathlib.Path(__file__).with_name("weights.npz")))


def for_jax(images):
    import jax

    h = images
    for name in ("conv_0", "conv_1", "conv_2"):
        h = jax.lax.conv_general_dilated(
            h, WEIGHTS[f"{name}/kernel"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        h = jax.nn.relu(h + WEIGHTS[f"{name}/bias"])
    h = jax.nn.relu(h.reshape(len(h), -1) @ WEIGHTS["hidden/kernel"] + WEIGHTS["hidden/bias"])
    return h @ WEIGHTS["logits/kernel"] + WEIGHTS["logits/bias"]


def for_python(images):
    assert isinstance(images, np.ndarray)
    return np.asarray(for_jax(images))


def for_torch():
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            shapes = [WEIGHTS[f"conv_{i}/kernel"].shape for i in range(3)]
            self.convolutions = torch.nn.ModuleList(torch.nn.Conv2d(s[2], s[3], s[0], 2) for s in shapes)
            self.hidden = torch.nn.Linear(*WEIGHTS["hidden/kernel"].shape)
            self.logits = torch.nn.Linear(*WEIGHTS["logits/kernel"].shape)

        def forward(self, x):
            for convolution in self.convolutions:
                kernel = convolution.kernel_size[0]
                pads = [max((-(-s // 2) - 1) * 2 + kernel - s, 0) for s in x.shape[-2:]]
                x = torch.nn.functional.pad(x, [n for p in reversed(pads) for n in (p // 2, p - p // 2)])
                x = torch.relu(convolution(x))
            return self.logits(torch.relu(self.hidden(x.permute(0, 2, 3, 1).flatten(1))))

    return Net()
'''


def write_module(folder: pathlib.Path, params) -> None:
    """Writes `own_model.py` and its weights."""
    weights = {f"{layer}/{part}": np.asarray(params[layer][part]) for layer in LAYERS for part in ("kernel", "bias")}
    np.savez(folder / "weights.npz", **weights)
    (folder / "own_model.py").write_text(MODULE)


def torch_state(params) -> dict:
    """The state dict of what `own_model:for_torch` builds."""
    import torch  # pyright: ignore[reportMissingImports]

    names = {f"convolutions.{i}": f"conv_{i}" for i in range(3)} | {"hidden": "hidden", "logits": "logits"}
    state = {}
    for own, layer in names.items():
        kernel = np.array(params[layer]["kernel"])
        state[f"{own}.weight"] = torch.tensor(kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T)
        state[f"{own}.bias"] = torch.tensor(np.array(params[layer]["bias"]))
    return state


def write_onnx(path: pathlib.Path, params, side: int = 28, batch: int | str = "batch") -> pathlib.Path:
    """Writes the network as ONNX, of NCHW images in [-1, 1]."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants, nodes, flow = [], [], "images"

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    for layer in LAYERS[:3]:
        kernel = np.asarray(params[layer]["kernel"]).transpose(3, 2, 0, 1)
        inputs = [flow, constant(f"{layer}.w", kernel), constant(f"{layer}.b", np.asarray(params[layer]["bias"]))]
        nodes.append(helper.make_node("Conv", inputs, [layer], strides=[2, 2], auto_pad="SAME_UPPER"))
        nodes.append(helper.make_node("Relu", [layer], [f"{layer}.relu"]))
        flow = f"{layer}.relu"
    nodes.append(helper.make_node("Transpose", [flow], ["nhwc"], perm=[0, 2, 3, 1]))
    nodes.append(helper.make_node("Flatten", ["nhwc"], ["flat"]))
    for layer, source in (("hidden", "flat"), ("logits", "hidden.relu")):
        weight = constant(f"{layer}.w", np.asarray(params[layer]["kernel"]))
        nodes.append(
            helper.make_node(
                "Gemm", [source, weight, constant(f"{layer}.b", np.asarray(params[layer]["bias"]))], [layer]
            )
        )
        if layer == "hidden":
            nodes.append(helper.make_node("Relu", ["hidden"], ["hidden.relu"]))
    classes = len(params["logits"]["bias"])
    channels = params["conv_0"]["kernel"].shape[2]
    graph = helper.make_graph(
        nodes,
        "small_cnn",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, channels, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
