"""Tiny motion networks whose answers are known, and films whose motion is."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import FORMATS, Colour, Matrix, Picture
from fastrestore.models import store
from fastrestore.models.spec import Artifact, ModelSpec, Task, Tensor
from fastrestore.runtime.engine import Engine

YUV = FORMATS["yuv420p"]
COLOUR = Colour(Matrix.SMPTE170M)
LEFT, RIGHT, INSTANT, FLOW, MASK = "img0", "img1", "timestep", "flow", "mask"
"""Names that nothing but the spec knows."""


class Graph:
    """Collects the nodes of a small ONNX graph over two pictures and, if wanted, an instant."""

    def __init__(self, *, any_instant: bool) -> None:
        from onnx import helper

        self._onnx: Any = helper
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self.any_instant = any_instant

    def constant(self, values: object, dtype: type = np.float32) -> str:
        """Add an initializer and return its name."""
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, kind: str, *inputs: str, to: str = "", **attributes: object) -> str:
        """Add a node and return the name of its output."""
        name = to or f"value{len(self._nodes)}"
        self._nodes.append(self._onnx.make_node(kind, list(inputs), [name], **attributes))
        return name

    def channels(self, tensor: str, first: int, last: int) -> str:
        """Return channels `first` to `last` of a picture."""
        ends = (self.constant([value], np.int64) for value in (first, last, 1))
        return self.add("Slice", tensor, *ends)

    def blank(self) -> str:
        """Return zeros of the picture's size, one channel."""
        return self.add("Mul", self.channels(LEFT, 0, 1), self.constant(0))

    def save(self, folder: Path, name: str, *, multiple_px: int = 1) -> ModelSpec:
        """Write the model into a user's folder and return what is known of it."""
        onnx = self._onnx
        inputs = [Tensor(LEFT, 3), Tensor(RIGHT, 3)]
        outputs = [Tensor(FLOW, 2)]
        if self.any_instant:
            inputs.append(Tensor(INSTANT, 1, scale=0, half=False))
            outputs = [Tensor(FLOW, 4), Tensor(MASK, 1)]
        values = [
            [
                onnx.make_tensor_value_info(t.name, 1, ["n", t.channels, *(["h", "w"] if t.scale else [1, 1])])
                for t in ts
            ]
            for ts in (inputs, outputs)
        ]
        graph = onnx.make_graph(self._nodes, name, *values, initializer=self._constants)
        model = onnx.make_model(graph, opset_imports=[onnx.make_opsetid("", 18)], ir_version=8)
        content = model.SerializeToString()
        path = folder / name / "model.fp32.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        return ModelSpec(
            name,
            name,
            Task.MOTION,
            "a network whose answer is known",
            "Apache-2.0",
            "the tests",
            multiple_px=multiple_px,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            artifacts={"fp32": Artifact(path.relative_to(folder), hashlib.sha256(content).hexdigest())},
            folder=folder,
        )


def shift_at_any_instant(folder: Path, dx: float, dy: float, *, multiple_px: int = 1) -> ModelSpec:
    """Make a network that says of two different pictures that all moved by `(dx, dy)`, of equal ones that none did."""
    graph = Graph(any_instant=True)
    moves = graph.add("Abs", _order(graph))
    slope, begin = ([[[[v]] for v in four]] for four in ((-dx, -dy, -dx, -dy), (0, 0, dx, dy)))
    path = graph.add("Add", graph.add("Mul", INSTANT, graph.constant(slope)), graph.constant(begin))
    blank = graph.blank()
    graph.add("Add", graph.add("Mul", moves, path), blank, to=FLOW)
    graph.add("Add", graph.add("Sub", graph.constant(1), INSTANT), blank, to=MASK)
    return graph.save(folder, "shift-at-any-instant", multiple_px=multiple_px)


def shift_between_two(folder: Path, dx: float, dy: float, *, multiple_px: int = 1) -> ModelSpec:
    """Make a network that says that all moved by `(dx, dy)` towards the brighter of two pictures."""
    graph = Graph(any_instant=False)
    moved = graph.add("Mul", _order(graph), graph.constant([[[[dx]], [[dy]]]]))
    graph.add("Add", moved, graph.blank(), to=FLOW)
    return graph.save(folder, "shift-between-two", multiple_px=multiple_px)


def echo(folder: Path, *, multiple_px: int = 1) -> ModelSpec:
    """Make a network that returns what it was given: red and green as displacements, the left blue as the mask."""
    graph = Graph(any_instant=True)
    graph.add("Concat", graph.channels(LEFT, 0, 2), graph.channels(RIGHT, 0, 2), axis=1, to=FLOW)
    graph.add("Add", graph.channels(LEFT, 2, 3), graph.add("Mul", INSTANT, graph.constant(0)), to=MASK)
    return graph.save(folder, "echo", multiple_px=multiple_px)


def in_half(spec: ModelSpec) -> ModelSpec:
    """Give a network a file in half precision too: what goes in and comes out is, instants excepted."""
    import onnx
    from onnx import TensorProto, helper

    path = store.locate(spec, "fp32")
    model = onnx.load(path)
    graph = model.graph
    inside = {tensor.name: f"{tensor.name} in fp32" for tensor in (*spec.inputs, *spec.outputs) if tensor.half}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [inside.get(name, name) for name in names]
    for value in (*graph.input, *graph.output):
        if value.name in inside:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for name in (value.name for value in graph.input if value.name in inside):
        graph.node.insert(0, helper.make_node("Cast", [name], [inside[name]], to=TensorProto.FLOAT))
    for name in (value.name for value in graph.output if value.name in inside):
        graph.node.append(helper.make_node("Cast", [inside[name]], [name], to=TensorProto.FLOAT16))
    half = path.with_name("model.fp16.onnx")
    onnx.save(model, half)
    assert spec.folder is not None
    artifact = Artifact(half.relative_to(spec.folder), hashlib.sha256(half.read_bytes()).hexdigest())
    return replace(spec, artifacts={**spec.artifacts, "fp16": artifact})


def broken(folder: Path, value: float, *, any_instant: bool) -> ModelSpec:
    """Make a network that yields one number everywhere, such as NaN."""
    graph = Graph(any_instant=any_instant)
    graph.add(
        "Concat", *[graph.add("Add", graph.blank(), graph.constant(value))] * (4 if any_instant else 2), axis=1, to=FLOW
    )
    if any_instant:
        graph.add("Add", graph.blank(), INSTANT, to=MASK)
    return graph.save(folder, "broken", multiple_px=1)


def _order(graph: Graph) -> str:
    """Return 1 if the right picture is the brighter one, -1 if the left one is, 0 if they are equal."""
    mean = graph.add("ReduceMean", graph.add("Sub", RIGHT, LEFT), graph.constant([1, 2, 3], np.int64), keepdims=1)
    return graph.add("Sign", mean)


class CountingEngine:
    """An engine that remembers what it was given, and notices if two threads use it at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._busy = threading.Lock()
        self.spec, self.largest = engine.spec, engine.largest
        self.inputs: list[dict[str, NDArray[np.float32]]] = []
        """A copy of what each run was given."""

    @property
    def runs(self) -> int:
        """How often the network ran."""
        return len(self.inputs)

    def run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        """See `Engine.run`."""
        assert self._busy.acquire(blocking=False), "two threads on one engine"
        try:
            self.inputs.append({name: array.copy() for name, array in inputs.items()})
            self._engine.run(inputs, out)
        finally:
            self._busy.release()

    def close(self) -> None:
        """See `Engine.close`."""
        self._engine.close()

    def __enter__(self) -> CountingEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def panning(count: int, dx: int, dy: int, width: int = 96, height: int = 80) -> list[Picture]:
    """Return a film whose content moves by `(dx, dy)` px a frame and that brightens; luma within 40 to 200."""
    rng = np.random.default_rng(5)
    across, down = width + abs(dx) * count, height + abs(dy) * count
    noise = rng.normal(size=(down + 1, across + 1)).astype(np.float32)
    detail = np.sum([cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 4.0)], axis=0)
    # What enters is brighter than what leaves, so that the order of two frames shows in their means.
    slope = np.linspace(60, 0, across + 1) if dx > 0 else np.linspace(0, 60, across + 1)
    world = np.clip(90 + 12 * detail / detail.std() + slope, 40, 200).astype(np.uint8)
    pictures = []
    for index in range(count):
        x, y = (abs(d) * (count - index if d > 0 else index) for d in (dx, dy))
        luma = world[y : y + height, x : x + width].copy()
        chroma = np.full((-(-height // 2), -(-width // 2)), 128, np.uint8)
        pictures.append(Picture((luma, chroma, chroma.copy()), YUV, COLOUR))
    return pictures
