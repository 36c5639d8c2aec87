"""Motion by networks: those that find it at any instant, and those that find the flow between two frames.

A network is given whole pictures, for motion may cross any tile. Pictures go in padded below and on the right by
their own last row and column, and reduced where they are large; what comes out is brought back to every pixel.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import EngineError, EngineIncompatibleError
from fastrestore.frames import FloatImage, Motion, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.ops import Ops
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.flowpair import FlowMotion, FlowPair, check_instant, comparable

_F32 = NDArray[np.float32]
_U8 = NDArray[np.uint8]

LEAST_PX: Final = 128
"""Shorter sides are padded up to this: a feature at 1/8 halved three more times must keep two samples."""
LONGEST_ANY_INSTANT_PX: Final = 2048
"""Longer sides are halved until they fit: networks for any instant are made for the motion of 1080p and below."""
LONGEST_FLOW_PX: Final = 1280
"""The same for networks that find flow. Where every block of 8x8 is compared with every other, memory grows with the
square of the area: RAFT-small takes 2.3 GB at 1280x720 (ONNX Runtime) and would take five times that at 1920x1080.
No smaller, for halving costs: held-out frames lose 0.2 dB at 1280x720 (one clip), 0.5 and 1.8 dB at 854x480 (two)."""


@dataclass(frozen=True, slots=True)
class NetworkGrid:
    """Where a network works for pictures of one size."""

    picture: Size
    shrink: int
    """Power of two: pixels of the picture per pixel of the network along a side."""
    network: Size
    """What the network is given: multiples of its own, at least `LEAST_PX`."""

    def place(self, rgb: FloatImage) -> _F32:
        """Return a picture as the network takes it: `(3, H, W)` -> `(1, 3, h, w)` float32, contiguous."""
        below = self.network.height * self.shrink - self.picture.height
        right = self.network.width * self.shrink - self.picture.width
        if below or right:
            rgb = np.pad(rgb, ((0, 0), (0, below), (0, right)), mode="edge")
        if self.shrink > 1:
            size = (self.network.width, self.network.height)
            rgb = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in rgb])
        return np.ascontiguousarray(rgb)[None]

    def flow(self, displacements: _F32) -> _F32:
        """Return a flow for every pixel of the picture: `(2, h, w)` in px of the network -> `(H, W, 2)` in its own."""
        height, width = self.picture.height, self.picture.width
        if self.shrink == 1:
            return np.asarray(cv2.merge([plane[:height, :width] for plane in displacements]), np.float32)
        longer = cv2.merge(list(displacements)) * np.float32(self.shrink)
        return self._enlarged(longer)

    def mask(self, shares: _F32) -> _F32:
        """Return a mask for every pixel of the picture: `(h, w)` -> `(H, W)`, kept within `[0, 1]`."""
        within = np.clip(shares, 0, 1)
        return self._enlarged(within) if self.shrink > 1 else self._cropped(within)

    def _enlarged(self, plane: _F32) -> _F32:
        size = (self.network.width * self.shrink, self.network.height * self.shrink)
        return self._cropped(np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.float32))

    def _cropped(self, plane: _F32) -> _F32:
        return np.ascontiguousarray(plane[: self.picture.height, : self.picture.width])


def network_grid(spec: ModelSpec, size: Size) -> NetworkGrid:
    """Return where a motion network works for pictures of `size`. Depends on nothing but the two.

    Args:
        spec: The network: which sides it takes and whether it finds the motion at any instant.
        size: Size of the pictures.
    """
    longest = LONGEST_ANY_INSTANT_PX if spec.any_instant else LONGEST_FLOW_PX
    shrink = 1
    while max(size.width, size.height) > longest * shrink:
        shrink *= 2
    reduced = (max(-(-side // shrink), LEAST_PX) for side in (size.width, size.height))
    width, height = (-(-side // spec.multiple_px) * spec.multiple_px for side in reduced)
    return NetworkGrid(size, shrink, Size(width, height))


class AnyInstantEstimator:
    """A network that takes two pictures and an instant. It runs when a pair is asked, once each time.

    Args:
        engine: The network. It belongs to the caller and is used by nobody else meanwhile.
        ops: Pixel kernels.

    Raises:
        EngineIncompatibleError: If its tensors are not those of such a network.
    """

    def __init__(self, engine: Engine, ops: Ops) -> None:
        _require_channels(engine.spec, (3, 3, 1), (4, 1))
        self._network = _Network(engine)
        self._intake = _Intake(engine.spec, ops)
        self._ops = ops

    def pair(self, left: Picture, right: Picture) -> AnyInstantMotion:
        """See `MotionEstimator.pair`. Converts the pictures; the network does not run yet."""
        _require_one_size(left, right)
        grid = self._intake.grid(left.size)
        batches = self._intake.batch(left, grid), self._intake.batch(right, grid)
        luma = self._ops.luma8(left), self._ops.luma8(right)
        return AnyInstantMotion(self._ops, self._network, grid, batches, luma)


class AnyInstantMotion:
    """The `PairMotion` of a network that is asked for every instant.

    Args:
        ops: Pixel kernels.
        network: The network, shared by all pairs.
        grid: Where it works.
        batches: Both pictures as the network takes them.
        luma: Both pictures, `(H, W)` uint8 each.
    """

    def __init__(
        self, ops: Ops, network: _Network, grid: NetworkGrid, batches: tuple[_F32, _F32], luma: tuple[_U8, _U8]
    ) -> None:
        self._ops, self._network, self._grid, self._batches, self._luma = ops, network, grid, batches, luma

    def at(self, t: float) -> Motion:
        """See `PairMotion.at`. Threads that ask at once take turns on the network, for all pairs together."""
        check_instant(t)
        with self._network.turn:
            flow, mask = self._network.run(*self._batches, instant=t)
            to_left, to_right = self._grid.flow(flow[:2]), self._grid.flow(flow[2:])
            motion = Motion(to_left, to_right, self._grid.mask(mask[0]))
        return replace(motion, disagreement=self._ops.disagreement(*self._luma, motion))


class FlowEstimator:
    """A network that finds the flow from one picture to another: run both ways, then brought to any instant.

    What is done with the two flows is what is done with those of `DisEstimator`.

    Args:
        engine: The network. It belongs to the caller and is used by nobody else meanwhile.
        ops: Pixel kernels.

    Raises:
        EngineIncompatibleError: If its tensors are not those of such a network.
    """

    def __init__(self, engine: Engine, ops: Ops) -> None:
        _require_channels(engine.spec, (3, 3), (2,))
        self._network = _Network(engine)
        self._intake = _Intake(engine.spec, ops)
        self._ops = ops

    def pair(self, left: Picture, right: Picture) -> FlowMotion:
        """See `MotionEstimator.pair`. The network runs twice."""
        _require_one_size(left, right)
        grid = self._intake.grid(left.size)
        first, second = self._intake.batch(left, grid), self._intake.batch(right, grid)
        forward, backward = self._flow(first, second, grid), self._flow(second, first, grid)
        luma = self._ops.luma8(left), self._ops.luma8(right)
        size = (left.size.height, left.size.width)
        return FlowMotion(self._ops, FlowPair.join(*comparable(*luma), forward, backward, size), luma)

    def _flow(self, source: _F32, target: _F32, grid: NetworkGrid) -> _F32:
        with self._network.turn:
            (flow,) = self._network.run(source, target)
            found = grid.flow(flow)
        # Nothing comes from farther away than the picture is long, and coordinates stay representable.
        reach = np.float32(max(grid.picture.width, grid.picture.height))
        return np.clip(found, -reach, reach, out=found)


class _Network:
    """An engine and the buffers that it writes to, which every run overwrites: hold `turn` until they are read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._out: list[_F32] = []
        self.turn = threading.Lock()

    def run(self, left: _F32, right: _F32, instant: float | None = None) -> list[_F32]:
        """Run once on one pair, `(1, 3, h, w)` each, and return each output without its batch, `(C, h, w)`.

        Raises:
            EngineError: If the network fails or yields anything but finite numbers.
        """
        spec = self._engine.spec
        _, _, height, width = left.shape
        values = [left, right]
        if instant is not None:
            values.append(np.full(spec.inputs[2].shape(1, height, width), instant, np.float32))
        shapes = [tensor.shape(1, height, width) for tensor in spec.outputs]
        if [buffer.shape for buffer in self._out] != shapes:
            self._out = [np.empty(shape, np.float32) for shape in shapes]
        inputs = {tensor.name: value for tensor, value in zip(spec.inputs, values, strict=True)}
        self._engine.run(inputs, {tensor.name: out for tensor, out in zip(spec.outputs, self._out, strict=True)})
        # A sum finds any NaN or infinity without a second array of the output's size.
        if not all(np.isfinite(buffer.sum()) for buffer in self._out):
            raise EngineError(
                f"`{spec.name}` produced numbers that are not finite", "try another backend or `--vfi dis`"
            )
        return [buffer[0] for buffer in self._out]


class _Intake:
    """Pictures as the network takes them. The right one of a pair is the left one of the next: each is made once.

    What is handed out is never written to again, so that pairs may keep it; remembered are the last two.
    """

    def __init__(self, spec: ModelSpec, ops: Ops) -> None:
        self._spec, self._ops = spec, ops
        self._grid: NetworkGrid | None = None
        self._latest: list[tuple[Picture, _F32]] = []

    def grid(self, size: Size) -> NetworkGrid:
        """Return where the network works for pictures of `size`."""
        if self._grid is None or self._grid.picture != size:
            self._grid = network_grid(self._spec, size)
        return self._grid

    def batch(self, picture: Picture, grid: NetworkGrid) -> _F32:
        """Return the picture as `(1, 3, h, w)` float32, R'G'B', nominal range `[0, 1]`."""
        for known, batch in self._latest:
            if known is picture:  # held here, so that no other picture can have its identity
                return batch
        made = grid.place(self._ops.to_rgb(picture))
        self._latest = [*self._latest[-1:], (picture, made)]
        return made


def _require_one_size(left: Picture, right: Picture) -> None:
    if left.size != right.size:
        raise ValueError(f"right is {right.size}, wanted the size of left, {left.size}")


def _require_channels(spec: ModelSpec, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> None:
    found = tuple(t.channels for t in spec.inputs), tuple(t.channels for t in spec.outputs)
    if spec.task is not Task.MOTION or found != (inputs, outputs) or any(t.scale != 1 for t in spec.outputs):
        raise EngineIncompatibleError(
            f"`{spec.name}` ({spec.task.value}, channels {found[0]} -> {found[1]})",
            f"a motion network with channels {inputs} -> {outputs}, every output at the size of its input",
            "see `fastrestore models show`",
        )
