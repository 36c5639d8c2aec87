"""Stand-ins for the networks that rebuild faces, made here, and a film with a `face`: a bright disc that moves.

The detector has YuNet's inputs and outputs, and OpenCV runs it as it runs YuNet; but what it finds is the middle and
the size of bright discs. The face network draws a pattern over whatever it is given, or changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fastrestore.files import digest
from fastrestore.frames import FORMATS, Picture
from fastrestore.geometry import Size
from fastrestore.models import package
from fastrestore.models.spec import FACE_PX, Artifact, ModelSpec, Task, Tensor
from fastrestore.runtime.treatments.faces.pose import EYES_PX

EYES_PER_RADIUS = 1.68
"""How far the eyes of a `face` are apart, in radii of its disc."""
PATTERN = 0.2
"""How strong the pattern is that the network draws, as a share of white."""
_BRIGHT, _DISC = 180.0, (225 - 16) * 255 / 219
_STRIDE, _AROUND = 8, 16
_TEMPLATE = [(192.98, 239.95), (318.90, 240.19), (256.63, 314.02), (201.26, 371.41), (313.09, 371.15)]


def add_models(folder: Path, *, identity: bool = False) -> None:
    """Write the packages `yunet` and `rebuilder` into a folder of models."""
    add(folder, "yunet", Task.DETECT, detector())
    add(folder, "rebuilder", Task.FACE, rebuilder(identity=identity))


def add(folder: Path, name: str, task: Task, model: onnx.ModelProto) -> ModelSpec:
    """Write a package into a folder of models."""
    (folder / name).mkdir(parents=True)
    file = folder / name / "model.fp32.onnx"
    onnx.save(model, file)
    faces = task is Task.FACE
    spec = ModelSpec(
        name=name,
        family=name,
        task=task,
        summary="a stand-in",
        licence="CC0-1.0",
        source="made by a test",
        multiple_px=FACE_PX if faces else 1,
        inputs=(Tensor("image" if faces else "input", 3),),
        outputs=(Tensor("restored", 3),) if faces else (),
        artifacts={"fp32": Artifact(Path(name) / file.name, digest(file))},
    )
    (folder / name / package.ROW_FILE).write_text(package.dump(spec), encoding="utf-8")
    return spec


def rebuilder(*, identity: bool = False) -> onnx.ModelProto:
    """Return a face network that adds a fixed pattern, or changes nothing."""
    along = np.arange(FACE_PX)
    waves = np.cos(2 * np.pi * along / 64)
    pattern = (0.0 if identity else PATTERN) * np.outer(waves, waves).astype(np.float32)
    node = helper.make_node("Add", ["image", "pattern"], ["restored"])
    shape = [1, 3, FACE_PX, FACE_PX]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "restored")]
    return _model([node], values[:1], values[1:], {"pattern": pattern.astype(np.float32)[None, None]})


def detector(fixed_px: int = 0) -> onnx.ModelProto:
    """Return a network with YuNet's interface that finds bright discs of 6 to 16 px radius.

    Args:
        fixed_px: Say that it takes pictures with sides of so many px, as some editions of YuNet do; 0 says any.
    """
    build = _Nodes()
    gathered = _moments()
    build.node("ReduceMean", ["input"], "grey", axes=[1], keepdims=1)
    build.node("Sub", ["grey", build.constant(_BRIGHT)], "above")
    build.node("Relu", ["above"], "bright")
    build.node("Mul", ["bright", build.constant(1 / (_DISC - _BRIGHT))], "disc")
    build.constants["moments"] = gathered
    build.node("Conv", ["disc", "moments"], "sums", strides=[_STRIDE] * 2, pads=[_AROUND, _AROUND, _AROUND, _AROUND])
    build.constants["parts"] = np.array([1, 1, 1], np.int64)
    build.nodes.append(helper.make_node("Split", ["sums", "parts"], ["mass", "mx", "my"], axis=1))
    build.node("Add", ["mass", build.constant(1e-3)], "safe")
    build.node("Div", ["mx", "safe"], "cx")
    build.node("Div", ["my", "safe"], "cy")
    _score(build)
    build.node("Sqrt", ["safe"], "root")
    build.node("Mul", ["root", build.constant(4 / np.sqrt(np.pi))], "side")
    _box(build)
    _landmarks(build)
    outputs = [_laid_out(build, name, channels, 8) for name, channels in _OUTPUTS]
    for stride in (16, 32):
        for name, channels in _OUTPUTS:
            weights = np.zeros((channels, 3, stride, stride), np.float32)
            build.constants[f"none_{name}_{stride}"] = weights
            raw = f"{name}_{stride}_raw"
            build.node("Conv", ["input", f"none_{name}_{stride}"], raw, strides=[stride] * 2)
            outputs.append(_laid_out(build, name, channels, stride))
    order = [f"{name}_{stride}" for name, _ in _OUTPUTS for stride in (8, 16, 32)]
    by_name = {value.name: value for value in outputs}
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, fixed_px or "h", fixed_px or "w"])
    return _model(build.nodes, [given], [by_name[name] for name in order], build.constants)


_OUTPUTS = (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))


def frame(size: Size, discs: Sequence[tuple[float, float, float]], layout: str = "yuv420p", seed: int = 1) -> Picture:
    """Return a textured dark picture with bright discs `(x, y, radius)`; grey."""
    pixels = FORMATS[layout]
    unit = 1 << (pixels.bits - 8)
    y, x = np.mgrid[: size.height, : size.width]
    slope = (x / size.width - 0.5) * (1 if seed % 2 else -1)  # shots with odd and even seeds are unlike each other
    luma = 70 + 60 * slope + 12 * np.sin(x / 5 + seed) * np.cos(y / 7)
    for cx, cy, radius in discs:
        share = np.clip(radius + 0.5 - np.hypot(x - cx, y - cy), 0, 1)
        luma = luma * (1 - share) + 225 * share
    first = np.rint(luma * unit).astype(pixels.dtype)
    if pixels.kind == "grey":
        return Picture((first,), pixels)
    if pixels.kind == "rgb":
        return Picture((first, first.copy(), first.copy()), pixels)
    chroma = pixels.plane_size(size, 1)
    middle = np.full((chroma.height, chroma.width), 128 * unit, pixels.dtype)
    return Picture((first, middle, middle.copy()), pixels)


class _Nodes:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def constant(self, value: float) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.array([value], np.float32)
        return name

    def scalar(self, value: float) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.array(value, np.float32)
        return name

    def node(self, kind: str, given: Sequence[str], name: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, list(given), [name], **attributes))


def _moments() -> NDArray[np.float32]:
    """Return kernels for the sum over a window, and for the sums of offsets from the cell's first sample."""
    offsets = np.arange(-_AROUND, _STRIDE + _AROUND, dtype=np.float32)
    ones = np.ones_like(offsets)
    return np.stack([np.outer(ones, ones), np.outer(ones, offsets), np.outer(offsets, ones)])[:, None]


def _score(build: _Nodes) -> None:
    """Only the cell in the middle of a disc is sure of it."""
    for axis in "xy":
        build.node("Sub", [f"c{axis}", build.constant((_STRIDE - 1) / 2)], f"off_{axis}")
        build.node("Abs", [f"off_{axis}"], f"far_{axis}")
    build.node("Add", ["far_x", "far_y"], "far")
    build.node("Mul", ["far", build.constant(-1 / 40)], "less")
    build.node("Add", ["less", build.constant(0.99)], "near")
    build.node("Mul", ["mass", build.constant(1 / 60)], "much")
    build.node("Sub", ["much", build.constant(1.0)], "enough")
    build.node("Clip", ["enough", build.scalar(0.0), build.scalar(1.0)], "there")
    build.node("Mul", ["near", "there"], "both")
    build.node("Relu", ["both"], "cls_8_raw")
    build.node("Identity", ["cls_8_raw"], "obj_8_raw")


def _box(build: _Nodes) -> None:
    for axis in "xy":
        build.node("Mul", [f"c{axis}", build.constant(1 / _STRIDE)], f"box_{axis}")
    build.node("Mul", ["side", build.constant(1 / _STRIDE)], "cells")
    build.node("Log", ["cells"], "length")
    build.node("Concat", ["box_x", "box_y", "length", "length"], "bbox_8_raw", axis=1)


def _landmarks(build: _Nodes) -> None:
    middle = np.mean(_TEMPLATE, axis=0)
    parts = []
    for number, place in enumerate(np.asarray(_TEMPLATE) - middle):
        for axis, offset in zip("xy", place, strict=True):
            name = f"mark_{number}{axis}"
            factor = EYES_PER_RADIUS / 4 / EYES_PX * float(offset) / _STRIDE
            build.node("Mul", ["side", build.constant(factor)], f"{name}_away")
            build.node("Add", [f"{name}_away", f"box_{axis}"], name)
            parts.append(name)
    build.node("Concat", parts, "kps_8_raw", axis=1)


def _laid_out(build: _Nodes, name: str, channels: int, stride: int) -> onnx.ValueInfoProto:
    full, shape = f"{name}_{stride}", f"{name}_{stride}_shape"
    build.constants[shape] = np.array([1, -1, channels], np.int64)
    build.node("Transpose", [f"{full}_raw"], f"{full}_turned", perm=[0, 2, 3, 1])
    build.node("Reshape", [f"{full}_turned", shape], full)
    return helper.make_tensor_value_info(full, TensorProto.FLOAT, [1, f"n{stride}", channels])


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: dict[str, NDArray[Any]],
) -> onnx.ModelProto:
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "stand-in", list(inputs), list(outputs), stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
