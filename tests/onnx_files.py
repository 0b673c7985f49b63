"""A classifier of images' mean values as a model of ONNX, which is an optional package."""

import numpy as np


def mean_model(kernel: np.ndarray, image_shape: tuple[int, int, int]):
    """Means over the last two axes of `image_shape`, times a kernel `[first axis, classes]`; any number of images."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "kernel"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", *image_shape])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", kernel.shape[1]])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
