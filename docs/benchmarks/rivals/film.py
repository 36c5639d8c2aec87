"""Frames of a clip in and out as the published scripts handle them: whole R'G'B' pictures, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]


def read(path: Path, seconds: float | None) -> tuple[list[RGB], Fraction]:
    """Return the frames of the first seconds, `(H, W, 3)` uint8, and the frame rate."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = Fraction(stream.average_rate or 25)
        frames: list[RGB] = []
        for frame in container.decode(stream):
            if seconds is not None and len(frames) >= seconds * rate:
                break
            frames.append(frame.to_ndarray(format="rgb24"))
    return frames, rate


def instants(count: int, rate: Fraction, wanted: Fraction) -> Iterator[tuple[int, float]]:
    """Yield for each output frame the source frame at or before it, and how far it is to the next, in [0, 1)."""
    total = -(-count * wanted // rate)
    for number in range(int(total)):
        position = number * rate / wanted
        index = min(int(position), count - 1)
        yield index, 0.0 if index == count - 1 else float(position - index)


class Interpolator:
    """OpenCV's DIS both ways, two warps and a mean: what stands in for a motion network on a CPU."""

    def __init__(self, frames: list[RGB]) -> None:
        self._frames = frames
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._pair: tuple[int, NDArray[np.float32], NDArray[np.float32]] | None = None
        height, width = frames[0].shape[:2]
        self._grid = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)

    def at(self, index: int, t: float) -> RGB:
        """Return the picture at `t` between two source frames."""
        left = self._frames[index]
        if t == 0.0:
            return left
        right = self._frames[index + 1]
        if self._pair is None or self._pair[0] != index:
            grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (left, right)]
            self._pair = index, self._dis.calc(grey[0], grey[1], None), self._dis.calc(grey[1], grey[0], None)
        _, forward, backward = self._pair
        motion = (forward - backward) * np.float32(0.5)
        warped = [
            cv2.remap(
                picture,
                self._grid + motion * np.float32(share),
                None,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for picture, share in ((left, -t), (right, 1 - t))
        ]
        return cv2.addWeighted(warped[0], 1 - t, warped[1], t, 0)


class Writer:
    """An H.264 file from R'G'B' pictures; libswscale makes the planes, as behind every pipe to ffmpeg."""

    def __init__(self, path: Path, rate: Fraction, width: int, height: int, preset: str) -> None:
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=rate, options={"preset": preset, "crf": "18"})
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"

    def write(self, picture: RGB) -> None:
        """Encode one picture, `(H, W, 3)` uint8."""
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))

    def close(self) -> None:
        """Finish the file."""
        self._container.mux(self._stream.encode())
        self._container.close()
