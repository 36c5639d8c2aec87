"""Counts the arithmetic of a network from its ONNX graph, at the size it is run at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from fastrestore.geometry import Size
from fastrestore.models import store
from fastrestore.models.spec import ModelSpec

_Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Operations:
    """What one picture costs. Only convolutions and matrix products count; everything else is small beside them."""

    flops: int
    """Operations for one picture; a product and a sum are two."""
    layer_bytes: int
    """Bytes if every counted layer reads its input and weights and writes its output once, all as the file's type."""
    least_bytes: int
    """Bytes if only the network's own inputs, weights and outputs move."""

    @property
    def intensity(self) -> float:
        """Operations per byte, layer by layer."""
        return self.flops / max(self.layer_bytes, 1)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why the operations of a network are not known."""

    reason: str


def count_operations(spec: ModelSpec, size: Size, precision: str = "fp32") -> Operations | Unknown:
    """Count what one input picture of `size` costs.

    Args:
        spec: The model.
        size: The picture; sides are multiples of `spec.multiple_px`.
        precision: Which file of the model; without that one, whichever there is.

    Raises:
        ModelError: If the model's file is missing or damaged.
    """
    if spec.classical:
        return Unknown("it is computed without a network")
    if not spec.artifacts:
        return Unknown("the model has no ONNX file")
    if find_spec("onnx") is None:
        return Unknown("counting needs the package onnx (`pip install onnx`)")
    import onnx

    path = store.locate(spec, precision if precision in spec.artifacts else next(iter(spec.artifacts)))
    model = onnx.load(str(path))
    for value in model.graph.input:
        tensor = next((t for t in spec.inputs if t.name == value.name), None)
        if tensor is not None:
            dimensions = value.type.tensor_type.shape.dim
            for dimension, extent in zip(dimensions, tensor.shape(1, size.height, size.width), strict=True):
                dimension.dim_value = extent
    del model.graph.value_info[:]  # shapes noted at export are symbolic, and would be kept
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        return Unknown(f"the shapes cannot be inferred: {str(error).splitlines()[0]}")
    return _count(inferred.graph)


def _count(graph: Any) -> Operations | Unknown:
    shapes, width = _shapes(graph), _element_bytes(graph)
    flops = layer_elements = 0
    for node in graph.node:
        cost = _COSTS.get(node.op_type)
        if cost is None:
            continue
        named = [shapes.get(name) for name in (*node.input[:2], node.output[0])]
        if any(shape is None for shape in named):
            return Unknown(f"the shape of layer `{node.name or node.output[0]}` is not known")
        known = [shape for shape in named if shape is not None]
        flops += cost(node, known)
        layer_elements += sum(math.prod(shape) for shape in known)
    if not flops:
        return Unknown("the graph holds no convolution and no matrix product")
    weights = sum(math.prod(tensor.dims) for tensor in graph.initializer)
    ends = sum(math.prod(shapes.get(value.name, ())) for value in (*graph.input, *graph.output))
    return Operations(flops, layer_elements * width, (weights + ends) * width)


def _shapes(graph: Any) -> dict[str, _Shape]:
    """Return every shape that is known to the last dimension."""
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if all(dimension.HasField("dim_value") for dimension in dimensions):
            found[value.name] = tuple(dimension.dim_value for dimension in dimensions)
    return found


def _element_bytes(graph: Any) -> int:
    import onnx

    half = graph.initializer and all(t.data_type == onnx.TensorProto.FLOAT16 for t in graph.initializer if t.dims)
    return 2 if half else 4


def _convolution(node: Any, shapes: list[_Shape]) -> int:
    _, weight, output = shapes  # weight: (out, in / group, kh, kw)
    return 2 * math.prod(output) * math.prod(weight[1:])


def _transposed(node: Any, shapes: list[_Shape]) -> int:
    entry, weight, _ = shapes  # weight: (in, out / group, kh, kw)
    return 2 * math.prod(entry) * math.prod(weight[1:])


def _matmul(node: Any, shapes: list[_Shape]) -> int:
    left, _, output = shapes
    return 2 * math.prod(output) * left[-1]


def _gemm(node: Any, shapes: list[_Shape]) -> int:
    left, _, output = shapes
    across = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return 2 * math.prod(output) * left[0 if across else 1]


_COSTS: Mapping[str, Callable[[Any, list[_Shape]], int]] = MappingProxyType(
    {"Conv": _convolution, "ConvTranspose": _transposed, "MatMul": _matmul, "Gemm": _gemm}
)
