"""Which numbers a stranger's network takes for a picture: found by trying, and brought to ours inside the graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from fastrestore.errors import ExportError
from fastrestore.export import pictures

Array = NDArray[np.float32]
Run = Callable[[Sequence[Array]], list[Array]]
_HEIGHT, _WIDTH = 96, 128
_VIVID = 3.0
_LARGEST_ERROR = 0.08
"""Mean difference from a plain enlargement beyond which the result is not that picture."""
_RIVAL, _RIVAL_FLOOR = 1.5, 0.002
"""Conventions with an error within this factor (plus this) of the best one are taken for as good as the best."""
_SAME = 0.01
"""Results whose mean difference is less than this are the same: it does not matter then which convention is taken."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a picture is written in numbers: `value * gain + offset` for a value in `[0, 1]`, red or blue first."""

    name: str
    gain: float
    offset: float
    blue_first: bool

    def encode(self, image: Array) -> Array:
        """Return `(N, 3, H, W)`, RGB, `[0, 1]`, in this encoding."""
        ordered = image[:, ::-1] if self.blue_first else image
        return np.asarray(ordered * np.float32(self.gain) + np.float32(self.offset), np.float32)

    def decode(self, values: Array) -> Array:
        """Return what is in this encoding as RGB, `[0, 1]`."""
        image = (values - np.float32(self.offset)) / np.float32(self.gain)
        return np.asarray(image[:, ::-1] if self.blue_first else image, np.float32)

    def __str__(self) -> str:
        return f"{'BGR' if self.blue_first else 'RGB'} in {self.name}"


ENCODINGS = tuple(
    Encoding(name, gain, offset, blue_first)
    for blue_first in (False, True)
    for name, gain, offset in (("[0, 1]", 1.0, 0.0), ("[0, 255]", 255.0, 0.0), ("[-1, 1]", 2.0, -1.0))
)
"""What is tried, in the order of preference where it does not matter; the first is ours."""


@dataclass(frozen=True, slots=True)
class Convention:
    """What a network takes and yields."""

    taken: Encoding
    yielded: Encoding
    error: float
    """Mean difference of its result from a bicubic enlargement."""
    order_effect: float
    """Mean difference between its results for red first and blue first: what a wrong guess of the order would cost.

    A network that treats the channels alike shows whether it exchanges them, but not which of them it calls red."""

    @property
    def ours(self) -> bool:
        """Whether nothing has to be changed."""
        return self.taken == self.yielded == ENCODINGS[0]


def find_convention(run: Run, scale: int, size: tuple[int, int] | None = None) -> Convention:
    """Find out which numbers a restoration network takes for a picture.

    It is given a picture in every encoding. What restores a picture yields about that picture, so that the right
    encoding is the one whose result is nearest to a plain enlargement.

    Args:
        run: The network, taking one picture and yielding one.
        scale: Its output pixels per input pixel along a side.
        size: Height and width that it takes, if it takes only one.

    Raises:
        ExportError: If no encoding gives such a picture, or several do that differ from one another.
    """
    image = _vivid(pictures.picture(0, *(size or (_HEIGHT, _WIDTH)))[None])
    plain = pictures.enlarged(image, scale)
    tried: list[tuple[float, Encoding, Encoding, Array]] = []
    for taken in ENCODINGS:
        (values,) = run([taken.encode(image)])
        for yielded in ENCODINGS:
            result = yielded.decode(values)
            error = float(np.abs(result - plain).mean())
            if np.isfinite(error):
                tried.append((error, taken, yielded, result))
    best = min(tried, key=lambda entry: entry[0], default=None)
    if best is None or best[0] > _LARGEST_ERROR:
        found = f"{best[0]:.3f} off at best" if best else "no finite result"
        raise ExportError(
            "the network does not yield the picture that it is given, in RGB or BGR, [0, 1], [0, 255] or [-1, 1]: "
            f"{found}",
            "it may do another job, or want another encoding; export its checkpoint instead",
        )
    rivals = [entry for entry in tried if entry[0] <= best[0] * _RIVAL + _RIVAL_FLOOR]
    for (_, *one, ours), (_, *other, theirs) in itertools.combinations(rivals, 2):
        if float(np.abs(ours - theirs).mean()) > _SAME:
            raise ExportError(
                f"whether the network takes {one[0]} and yields {one[1]}, or {other[0]} and {other[1]}, cannot be told",
                "export its checkpoint instead",
            )
    error, taken, yielded, _ = rivals[0]
    return Convention(taken, yielded, error, _order_effect(run, image, taken, yielded))


def apply_convention(model: onnx.ModelProto, convention: Convention) -> None:
    """Change a graph with one input and one output so that it takes and yields RGB in `[0, 1]`."""
    graph = model.graph
    if convention.taken != ENCODINGS[0]:
        encoding = convention.taken
        inner = f"{graph.input[0].name}_encoded"
        for node in graph.node:
            _rename(node.input, graph.input[0].name, inner)
        steps = _steps(graph, graph.input[0].name, inner, encoding, ("Mul", encoding.gain), ("Add", encoding.offset))
        for position, node in enumerate(steps):
            graph.node.insert(position, node)
    if convention.yielded != ENCODINGS[0]:
        encoding = convention.yielded
        inner = f"{graph.output[0].name}_encoded"
        for node in graph.node:
            _rename(node.output, graph.output[0].name, inner)
            _rename(node.input, graph.output[0].name, inner)
        graph.node.extend(
            _steps(graph, inner, graph.output[0].name, encoding, ("Add", -encoding.offset), ("Mul", 1 / encoding.gain))
        )


def _vivid(image: Array) -> Array:
    """Return a picture with its colours exaggerated, so that an exchange of red and blue is seen."""
    grey = image.mean(axis=1, keepdims=True)
    return np.asarray(np.clip(grey + _VIVID * (image - grey), 0, 1), np.float32)


def _order_effect(run: Run, image: Array, taken: Encoding, yielded: Encoding) -> float:
    straight = yielded.decode(run([taken.encode(image)])[0])
    turned = yielded.decode(run([taken.encode(np.ascontiguousarray(image[:, ::-1]))])[0])[:, ::-1]
    return float(np.abs(straight - turned).mean())


def _steps(
    graph: onnx.GraphProto,
    first: str,
    last: str,
    encoding: Encoding,
    *arithmetic: tuple[str, float],
) -> list[onnx.NodeProto]:
    """Return nodes from one value to another; their constants are added to the graph."""
    kinds: list[tuple[str, NDArray[np.generic]]] = [
        (kind, np.asarray([value], np.float32)) for kind, value in arithmetic if value != (kind == "Mul")
    ]
    if encoding.blue_first:
        kinds.insert(0, ("Gather", np.asarray([2, 1, 0], np.int64)))
    nodes = []
    value = first
    for number, (kind, constant) in enumerate(kinds):
        name, result = f"{last}_{kind.lower()}_by", last if number == len(kinds) - 1 else f"{last}_step{number}"
        graph.initializer.append(numpy_helper.from_array(constant, name))
        attributes = {"axis": 1} if kind == "Gather" else {}
        nodes.append(helper.make_node(kind, [value, name], [result], name=f"{last}_{kind.lower()}", **attributes))
        value = result
    return nodes


def _rename(names: object, old: str, new: str) -> None:
    for position, name in enumerate(names):  # type: ignore[arg-type,var-annotated]
        if name == old:
            names[position] = new  # type: ignore[index]
