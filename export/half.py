"""Half precision: of plain convolutional graphs, which need their weights rounded only; and of weights as stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

_PLAIN = frozenset(
    [
        "Add",
        "AveragePool",
        "Clip",
        "Concat",
        "Constant",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "Gather",
        "GlobalAveragePool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "MaxPool",
        "Mul",
        "PRelu",
        "Pad",
        "Relu",
        "Reshape",
        "Resize",
        "Shape",
        "Sigmoid",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Sub",
        "Tanh",
        "Transpose",
        "Unsqueeze",
    ]
)
"""Operators that take any floating-point type throughout. `Cast` and what computes positions or norms are not here:
rounding there moves pixels, and a graph with both types needs its author."""
_LARGEST = float(np.finfo(np.float16).max)
_RESIZE_FACTORS = (1, 2)
"""Inputs of Resize that stay float32 whatever the picture is: the region and the scales."""


def to_half(model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    """Return a graph in float16, weights, inputs and outputs alike, and an empty reason.

    Args:
        model: A float32 graph; it is not changed.

    Returns:
        The graph, or None and why there is none. Whether it computes the same is for the proof to say.
    """
    if foreign := sorted({node.op_type for node in model.graph.node} - _PLAIN):
        return None, f"half precision is left out: {', '.join(foreign[:4])} in the graph"
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    del halved.graph.value_info[:]
    kept = {
        name
        for node in halved.graph.node
        if node.op_type == "Resize"
        for position, name in enumerate(node.input)
        if position in _RESIZE_FACTORS and name
    }
    constants = [
        attribute.t
        for node in halved.graph.node
        if node.op_type == "Constant" and node.output[0] not in kept
        for attribute in node.attribute
        if attribute.type == AttributeProto.TENSOR
    ]
    weights = [tensor for tensor in halved.graph.initializer if tensor.name not in kept]
    for tensor in (*weights, *constants):
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            if np.abs(values).max(initial=0.0) > _LARGEST:
                return None, "half precision is left out: a weight is beyond its range"
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    for value in (*halved.graph.input, *halved.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return halved, ""


_WORTHWHILE = 256
"""Numbers from which on a tensor is stored in half precision: a cast costs a node."""


def store_weights(path: Path) -> None:
    """Store the weights of a float32 file in half precision; each is cast where the graph begins.

    Runtimes cast constants once, when they load the file, and compute in float32 as before. Weights that half
    precision holds exactly stay exactly what they were; the others are left as they are.

    Args:
        path: The file, rewritten in place.
    """
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            halved = values.astype(np.float16)
        if values.size < _WORTHWHILE or not np.array_equal(halved.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halved, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)
