"""The colours of a whole shot, from those of a few of its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.kernels.film_colour import FloatPlane, Luma, mixed
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.treatments.colour.propagation import Anchor, Carrier, Coloured, ColourFlow, Step

_DISTANT = np.float32(1e-3)
"""Weight, besides trust, by which two untrusted guesses are shared out by distance."""


class Sink(Protocol):
    """Takes the colours of frames, each once, in any order."""

    def put(self, index: int, coloured: Coloured) -> None:
        """Take the colours of a frame."""
        ...


@dataclass(frozen=True, slots=True)
class _Held:
    """A frame on its way back from the next coloured frame."""

    luma: Luma
    step: Step
    """Motion between it and the frame before it."""
    coloured: Coloured | None
    """What came from the coloured frame before it."""


def colour_shot(
    frames: Iterable[tuple[int, Luma]],
    anchors: Callable[[int, Luma], Anchor | None],
    last: int,
    sink: Sink,
    spill: Path,
) -> None:
    """Find the colours of every frame of a shot. Each frame is read once.

    From the first coloured frame on, colours are carried forward. Between two of them, and before the first, frames are
    put aside with what came so far, and the way back begins where the next coloured frame is met. Each pixel then takes
    what is trusted more, and where both are trusted alike, a mixture by distance.

    Args:
        frames: Number and luma at working size of the shot's frames, in order.
        anchors: Returns the colours of a frame, given its number and luma, or None if they are not given.
        last: Number of the last frame whose colours are given.
        sink: Where the colours go.
        spill: A file for frames that wait, of some 6 bytes for each working pixel of a frame; it is removed.

    Raises:
        EncodeError: If the frames that wait cannot be put aside.
    """
    flow = ColourFlow()
    carrier: Carrier | None = None
    previous: Luma | None = None
    with _Spill(spill) as waiting:
        for index, luma in frames:
            step = flow.between(previous, luma) if previous is not None else _no_motion(luma)
            previous = luma
            anchor = anchors(index, luma)
            if anchor is not None:
                sink.put(index, Coloured(anchor.chroma, anchor.trust))
                _return(waiting, step, Carrier(anchor, flow), sink)
                carrier = Carrier(anchor, flow)
                continue
            coloured = carrier.carry(luma, step.backward, step.forward) if carrier is not None else None
            if index < last:
                waiting.push(index, _Held(luma, step, coloured))
            elif coloured is not None:
                sink.put(index, coloured)


def _no_motion(luma: Luma) -> Step:
    nothing = np.zeros((*luma.shape, 2), np.float32)
    return Step(nothing, nothing)


def _return(waiting: _Spill, step: Step, carrier: Carrier, sink: Sink) -> None:
    """Carry colours back through all frames that wait, last first, and settle those.

    Args:
        waiting: The frames; emptied.
        step: Motion between the last of them and the coloured frame.
        carrier: Of the colours of that frame.
        sink: Where the colours go.
    """
    count = len(waiting) + 1
    for distance in range(1, count):
        number, held = waiting.pop()
        coloured = carrier.carry(held.luma, step.forward, step.backward)
        if held.coloured is not None:
            coloured = _blended(held.coloured, coloured, distance / count)
        sink.put(number, coloured)
        step = held.step


def _blended(before: Coloured, after: Coloured, share: float) -> Coloured:
    """Return what two coloured frames make of one between them; `share` of the earlier one where both are trusted."""
    left = (np.square(before.trust) + _DISTANT) * np.float32(share)
    right = (np.square(after.trust) + _DISTANT) * np.float32(1 - share)
    part = np.asarray(left / (left + right), np.float32)
    trust = after.trust + (before.trust - after.trust) * part
    return Coloured(mixed(before.chroma, after.chroma, part), np.asarray(trust, np.float32))


class _Spill:
    """A stack of frames in a file: memory must not grow with the length of a shot."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers: list[tuple[int, bool]] = []
        self._shape = (0, 0)

    def __enter__(self) -> _Spill:
        with writing(self._path):
            self._file = self._path.open("w+b")
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._numbers)

    def push(self, index: int, held: _Held) -> None:
        """Put a frame aside."""
        self._shape = held.luma.shape[0], held.luma.shape[1]
        parts: list[NDArray[np.uint8] | NDArray[np.float16]] = [held.luma]
        parts += [_halved(flow).astype(np.float16) for flow in (held.step.forward, held.step.backward)]
        chroma = np.zeros((*self._shape, 3), np.uint8)
        if held.coloured is not None:
            chroma[..., :2] = np.clip(np.rint(held.coloured.chroma + 128), 0, 255)
            chroma[..., 2] = np.rint(held.coloured.trust * 255)
        with writing(self._path):
            for part in (*parts, chroma):
                self._file.write(np.ascontiguousarray(part).data)
        self._numbers.append((index, held.coloured is not None))

    def pop(self) -> tuple[int, _Held]:
        """Take back the frame put aside last, as closely as it was kept: flow to half the size, chroma to a level."""
        index, has_colour = self._numbers.pop()
        height, width = self._shape
        half = (-(-height // 2), -(-width // 2), 2)
        lengths = [height * width, 2 * int(np.prod(half)), 2 * int(np.prod(half)), 3 * height * width]
        with writing(self._path):
            self._file.seek(len(self._numbers) * sum(lengths))
            luma, forward, backward, chroma = (self._file.read(length) for length in lengths)
            self._file.seek(len(self._numbers) * sum(lengths))
        step = Step(*(self._flow(data, half) for data in (forward, backward)))
        kept = np.frombuffer(chroma, np.uint8).reshape(height, width, 3).astype(np.float32)
        coloured = Coloured(kept[..., :2] - 128, kept[..., 2] / np.float32(255)) if has_colour else None
        return index, _Held(np.frombuffer(luma, np.uint8).reshape(height, width), step, coloured)

    def _flow(self, data: bytes, half: tuple[int, int, int]) -> FloatPlane:
        flow = np.frombuffer(data, np.float16).reshape(half).astype(np.float32)
        size = (self._shape[1], self._shape[0])
        return np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _halved(flow: FloatPlane) -> FloatPlane:
    height, width = flow.shape[:2]
    size = (-(-width // 2), -(-height // 2))
    return np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_AREA), np.float32)
