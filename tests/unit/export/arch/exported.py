"""What every network of `export/arch` must do: export with symbolic sizes, agree, and parse where it is to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from fastrestore.export.arch.loaded import LoadedNetwork

TORCH_WARNINGS = ("ignore:.*LeafSpec.*:FutureWarning", "ignore:# The axis name:UserWarning")
"""torch 2.13 warns of its own exporter's calls, and of names of sides that inputs share on purpose."""


def export(network: LoadedNetwork, inputs: list[torch.Tensor], path: Path) -> None:
    """Export as the product does: every side and the batch symbolic."""
    dtype = next(network.module.parameters()).dtype
    shapes = [{0: "n"} if tensor.scale == 0 else {0: "n", 2: "h", 3: "w"} for tensor in network.inputs]
    torch.onnx.export(
        network.module,
        tuple(given(network, inputs, dtype)),
        path,
        dynamo=True,
        opset_version=18,
        external_data=False,
        dynamic_shapes=tuple(shapes),
        input_names=[tensor.name for tensor in network.inputs],
        output_names=[tensor.name for tensor in network.outputs],
        verbose=False,
    )


def given(network: LoadedNetwork, inputs: list[torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    """Return the inputs as a file of that precision takes them."""
    pairs = zip(network.inputs, inputs, strict=True)
    return [values.to(dtype) if tensor.half else values for tensor, values in pairs]


def assert_symbolic(network: LoadedNetwork, path: Path) -> None:
    """The file is valid, and its batch and sides are names, the same on both ends."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    ends = {value.name: value.type.tensor_type for value in (*model.graph.input, *model.graph.output)}
    for tensor in (*network.inputs, *network.outputs):
        sides = (1, 1) if tensor.scale == 0 else ("h", "w")
        dims = tuple(dim.dim_param or dim.dim_value for dim in ends[tensor.name].shape.dim)
        assert dims == ("n", tensor.channels, *sides), tensor.name


def assert_kept_in_float(path: Path) -> None:
    """GridSample and what it takes are float32: float16 has too few bits for a coordinate."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path), check_type=True)
    values = (*model.graph.input, *model.graph.value_info)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    sampled = [node for node in model.graph.node if node.op_type == "GridSample"]
    assert sampled
    assert all(kinds[name] == onnx.TensorProto.FLOAT for node in sampled for name in node.input)


def compare(
    reference: LoadedNetwork, path: Path, dtype: torch.dtype, inputs: list[torch.Tensor]
) -> list[NDArray[np.float32]]:
    """Return, for each output, how far ONNX Runtime on a CPU is from torch in float32."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    fed = {t.name: v.numpy() for t, v in zip(reference.inputs, given(reference, inputs, dtype), strict=True)}
    found = session.run(None, fed)
    with torch.no_grad():
        wanted = reference.module(*inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for tensor, values in zip(reference.outputs, found, strict=True):
        assert values.dtype == (np.float16 if tensor.half and dtype is torch.float16 else np.float32), tensor.name
    return [np.abs(f.astype(np.float32) - w.numpy()) for f, w in zip(found, wanted, strict=True)]


def assert_parses(path: Path) -> None:
    """TensorRT for RTX reads it; that needs no GPU."""
    trt = pytest.importorskip("tensorrt_rtx", reason="the extra `rtx` is not installed")
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    parsed = parser.parse(path.read_bytes())
    assert parsed, [str(parser.get_error(index)) for index in range(parser.num_errors)]
