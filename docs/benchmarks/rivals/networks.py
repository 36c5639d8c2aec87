"""One network, the same weights, in each library: `(H, W, 3)` uint8 in, `(H * scale, W * scale, 3)` uint8 out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]
Network = Callable[[RGB], RGB]


def open_network(library: str, path: Path, scale: int, threads: int) -> Network:
    """Return a network, or for `opencv` bicubic enlargement, which needs none."""
    if library == "opencv":
        return lambda picture: cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    run = open_runner(library, path, threads)

    def restore(picture: RGB) -> RGB:
        batch = np.ascontiguousarray((picture.astype(np.float32) / 255).transpose(2, 0, 1)[None])
        result = np.clip(run(batch)[0], 0, 1)
        return (result.transpose(1, 2, 0) * 255).round().astype(np.uint8)

    return restore


def open_runner(library: str, path: Path, threads: int) -> Callable[[Any], Any]:
    """Return a network as a function of a batch, `(N, 3, H, W)` float32."""
    return {"torch": _torch, "onnxruntime": _onnxruntime, "openvino": _openvino}[library](path, threads)


def _onnxruntime(path: Path, threads: int) -> Callable[[Any], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


def _openvino(path: Path, threads: int) -> Callable[[Any], Any]:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # else every import is reported to its maker
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    return lambda batch: compiled([batch])[0]


def _torch(path: Path, threads: int) -> Callable[[Any], Any]:
    """Run the file's own graph by eager PyTorch operators, layer after layer, as the published modules do."""
    import onnx
    import torch
    from onnx import numpy_helper
    from torch.nn import functional

    torch.set_num_threads(threads)
    graph = onnx.load(str(path)).graph
    weights = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}

    def node_result(node: Any, known: dict[str, Any]) -> Any:
        inputs = [known[name] for name in node.input if name]
        facts = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        match node.op_type:
            case "Conv":
                pads = facts.get("pads", [0, 0, 0, 0])
                return functional.conv2d(*inputs, padding=tuple(pads[:2]), groups=facts.get("group", 1))
            case "Relu":
                return functional.relu(inputs[0])
            case "PRelu":
                return functional.prelu(inputs[0], inputs[1].reshape(-1))
            case "Add":
                return inputs[0] + inputs[1]
            case "DepthToSpace":
                return functional.pixel_shuffle(inputs[0], facts["blocksize"])
            case "Resize":
                return functional.interpolate(
                    inputs[0], scale_factor=float(inputs[-1][-1]), mode=facts["mode"].decode()
                )
            case other:
                raise SystemExit(f"{path}: operator {other} is not among those this script knows")

    def run(batch: NDArray[np.float32]) -> Any:
        known: dict[str, Any] = {graph.input[0].name: torch.from_numpy(batch), **weights}
        with torch.inference_mode():
            for node in graph.node:
                known[node.output[0]] = node_result(node, known)
            return known[graph.output[0].name].numpy()

    return run
