"""Real frames for the gate: what networks are shown before they are trusted, at whatever size is wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import UsageError
from fastrestore.frames import FloatImage, Frame
from fastrestore.kernels.ops import open_ops
from fastrestore.models.spec import ModelSpec, Task

DEFAULT_COUNT = 4
LARGEST_PX = 2048
"""Larger frames are cut to this around their middle: what the gate needs more, it gets by reflection."""
_LOOKED_AT = 48
"""Frames that are looked at in one place for two that show something."""
_LEAST_CONTRAST = 0.02
"""Standard deviation below which a frame says nothing: black leader, a fade, a title's ground."""
_SKY, _EARTH = (1.5, 1.05, 0.7), (0.7, 1.0, 1.45)
"""Exponents of red, green and blue for what lies high and low: a blue sky, warm ground and faces."""


def frames_of(path: str | Path, count: int = DEFAULT_COUNT) -> tuple[FloatImage, ...]:
    """Return frames from all over a clip, in pairs of neighbours, so that things move between the two of a pair.

    Args:
        path: The clip.
        count: How many; an odd one is taken as the next even one.

    Returns:
        `(3, H, W)` float32 each, R'G'B', nominal range `[0, 1]`, in the order of their time; fewer where the clip
        shows nothing.

    Raises:
        DecodeError: If it cannot be read.
        UsageError: If it has no two neighbouring frames that show anything.
    """
    from fastrestore.runtime.media.reader import VideoReader

    places = max(1, -(-count // 2))
    with VideoReader(path) as reader:
        length, first = reader.info.duration, reader.first_pts
        frames = _first_pair(reader) if length is None else []
    if length is not None:
        for place in range(places):
            with VideoReader(path, start=first + length * Fraction(2 * place + 1, 2 * places + 1)) as reader:
                frames += _first_pair(reader)
    if not frames:
        raise UsageError(
            f"{path} has no two neighbouring frames that show anything", "give a clip with light and detail"
        )
    return tuple(frames)


@lru_cache(maxsize=1)
def default_frames() -> tuple[FloatImage, ...]:
    """Return frames of the embedded sample, an old film. It is grey: a grade of colours is laid over it.

    Without colour, an engine that confuses red with blue would agree with one that does not.
    """
    with as_file(files("fastrestore.demo") / "sample.mp4") as path:
        return tuple(_graded(frame) for frame in frames_of(path))


def digest(frames: Sequence[FloatImage]) -> str:
    """Return the sha256 of the frames' samples, in lower-case hexadecimal."""
    found = hashlib.sha256()
    for frame in frames:
        found.update(repr(frame.shape).encode())
        found.update(np.ascontiguousarray(frame).data)
    return found.hexdigest()


def fitted(frame: FloatImage, height: int, width: int) -> FloatImage:
    """Return a frame cut to a size around its middle, or continued by reflection; never scaled.

    Scaling would change grain and edges, and networks err differently on pictures unlike those they were trained on.

    Args:
        frame: `(3, H, W)`.
        height: Wanted height in pixels.
        width: Wanted width in pixels.
    """
    _, has_height, has_width = frame.shape
    top, left = max(0, has_height - height) // 2, max(0, has_width - width) // 2
    cut = frame[:, top : top + height, left : left + width]
    below, right = height - cut.shape[1], width - cut.shape[2]
    return np.pad(cut, ((0, 0), (0, below), (0, right)), mode="symmetric") if below or right else cut


def arguments(
    spec: ModelSpec, frames: Sequence[FloatImage], batch: int, height: int, width: int
) -> dict[str, NDArray[np.float32]]:
    """Return what a network takes, by name: every picture of a batch another one, the right one later than the left.

    Args:
        spec: The network.
        frames: Pictures as `frames_of` returns them; at least two where the network takes two.
        batch: Pictures in each input.
        height: Their height in pixels.
        width: Their width in pixels.
    """
    if spec.task is Task.MOTION and len(frames) < 2:
        raise ValueError("a motion network cannot be proved on one frame: wanted two at least")
    given: dict[str, NDArray[np.float32]] = {}
    later = 0
    for tensor in spec.inputs:
        if tensor.scale == 0:
            instants = np.linspace(0.5, 0.2, batch, dtype=np.float32)[:, None, None, None]
            given[tensor.name] = np.broadcast_to(instants, tensor.shape(batch, height, width)).copy()
            continue
        stack = np.empty(tensor.shape(batch, height, width), np.float32)
        for number in range(batch):
            # Once all were used they come mirrored, so that no picture of a batch equals another.
            turned, place = divmod(2 * number + later, len(frames))
            chosen = fitted(frames[place], height, width)
            stack[number] = chosen[:, :, ::-1] if turned % 2 else chosen
        given[tensor.name] = stack
        later = 1
    return given


def _first_pair(frames: Iterable[Frame]) -> list[FloatImage]:
    """Return the first two neighbours that both show something, or nothing if none of the first do."""
    ops = open_ops()
    before: FloatImage | None = None
    for frame in islice(frames, _LOOKED_AT):
        found = _middle(ops.to_rgb(frame.picture))
        if found.std(axis=(1, 2)).max() < _LEAST_CONTRAST:
            before = None
        elif before is None:
            before = found
        else:
            return [before, found]
    return []


def _middle(frame: FloatImage) -> FloatImage:
    _, height, width = frame.shape
    return np.ascontiguousarray(fitted(frame, min(height, LARGEST_PX), min(width, LARGEST_PX)))


def _graded(frame: FloatImage) -> FloatImage:
    """Return a grey frame in colours that change slowly over it, so that no tone has one colour everywhere."""
    _, height, width = frame.shape
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    low = 1 / (1 + np.exp(-12 * (down - 0.45)))
    strength = 0.75 + 0.25 * np.sin(2 * np.pi * (across + 0.3 * down))
    sky, earth = (np.log(np.asarray(grade, np.float32))[:, None, None] for grade in (_SKY, _EARTH))
    exponents = np.exp((sky * (1 - low) + earth * low) * strength)
    return np.asarray(np.clip(frame, 1e-3, 1) ** exponents, np.float32)
