"""Decodes a file from end to end and looks at its pictures, small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fastrestore.runtime.media.opening import open_file
from fastrestore.runtime.media.pixels import ONE_THREAD, samples
from fastrestore.runtime.media.translate import reading

Thumb: TypeAlias = NDArray[np.float32]
"""Luma of a picture at `THUMB` size, `(18, 32)` float32: 0 black, 1 white."""
THUMB = (32, 18)
_SAMPLES = (128, 72)
"""Samples taken from the luma plane across and down: the mean of all would take longer than decoding."""
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_STRICT = {"err_detect": "crccheck+explode"}
_DECODED = ("audio", "subtitle")


@dataclass(frozen=True, slots=True)
class Look:
    """A picture, seen small."""

    time: Fraction
    """Seconds."""
    thumb: Thumb


@dataclass
class Trouble:
    """What went wrong in a track while it was decoded."""

    kind: str
    label: str
    errors: int = 0
    first: Fraction | None = None
    """Seconds of the packet at which it was first noticed; a decoder with threads may notice late."""
    reason: str = ""
    no_decoder: bool = False


@dataclass
class Screening:
    """A file being decoded once from end to end. Iterating yields a look at every frame of the video.

    Args:
        path: The file.
        index: Stream of the video.
        others: Whether the other tracks are decoded too.
        pictures: Whether the video is decoded; without it nothing is yielded.
    """

    path: Path
    index: int
    others: bool = True
    pictures: bool = True
    frames: int = 0
    """Frames that were decoded so far."""
    troubles: dict[int, Trouble] = field(default_factory=dict)
    """By stream."""
    untimed: int = 0
    """Frames without a time, which are not yielded."""

    def __iter__(self) -> Iterator[Look]:
        """Yield looks in the order of the film.

        Raises:
            DecodeError: If the container cannot be opened or read; what a decoder finds is noted in `troubles`.
        """
        with reading(self.path), open_file(self.path) as container:
            streams = self._streams(container)
            packets = container.demux(streams)
            for packet in packets:
                for frame in self._decode(packet):
                    look = self._look(frame)
                    if look is not None:
                        yield look

    def finish(self) -> None:
        """Decode everything without looking at the pictures.

        Raises:
            DecodeError: If the container cannot be opened or read.
        """
        for _ in self:
            pass

    def _streams(self, container: InputContainer) -> list[Stream]:
        chosen = []
        for stream in container.streams:
            main = stream.index == self.index
            if not (self.pictures if main else self.others and (stream.type in _DECODED or stream.type == "video")):
                continue
            if stream.codec_context is None:
                self._trouble(stream).no_decoder = True
                continue
            if isinstance(stream, VideoStream):
                # It has to be told before it is opened; for the copied tracks it would be stricter than any player.
                stream.codec_context.options = _STRICT if main else {}
                stream.thread_type = "AUTO" if main else "SLICE"
            chosen.append(stream)
        return chosen

    def _decode(self, packet: Packet[Any]) -> Iterator[VideoFrame]:
        try:
            decoded = packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            self._note(packet, error.strerror or str(error))
            return
        if packet.stream.index != self.index:
            return
        for frame in decoded:
            assert isinstance(frame, VideoFrame)
            if frame.is_corrupt:
                self._note(packet, "a frame was decoded with errors")
            yield frame

    def _note(self, packet: Packet[Any], reason: str) -> None:
        trouble = self._trouble(packet.stream)
        stamp = packet.pts if packet.pts is not None else packet.dts
        if not trouble.errors:
            trouble.reason = reason
            trouble.first = None if stamp is None else stamp * packet.time_base
        trouble.errors += 1

    def _trouble(self, stream: Stream) -> Trouble:
        codec = "" if stream.codec_context is None else stream.codec_context.name
        label = "the video" if stream.index == self.index else f"track {stream.index} {stream.type} {codec}".rstrip()
        return self.troubles.setdefault(stream.index, Trouble(stream.type, label))

    def _look(self, frame: VideoFrame) -> Look | None:
        self.frames += 1
        if frame.pts is None or frame.time_base is None:
            self.untimed += 1
            return None
        return Look(frame.pts * frame.time_base, thumb_of(frame))


def thumb_of(frame: VideoFrame) -> Thumb:
    """Return a small picture of a frame's luma; layouts other than planar 8 to 16 bits are converted first."""
    name, bits = frame.format.name, frame.format.components[0].bits
    plain = name.startswith(("yuv4", "yuvj4", "yuva4", "gray", "nv12")) and name.endswith(("le", "p", "gray", "nv12"))
    full = int(frame.color_range) == _FULL_RANGE or name.startswith("yuvj") or not plain
    if not plain:
        frame, bits = frame.reformat(*_SAMPLES, format="gray", threads=ONE_THREAD), 8
    plane = frame.planes[0]
    across, down = (
        max(1, length // count) for length, count in zip((plane.width, plane.height), _SAMPLES, strict=True)
    )
    some = samples(plane, bits)[down // 2 :: down, across // 2 :: across].astype(np.float32)
    small = np.asarray(cv2.resize(some, THUMB, interpolation=cv2.INTER_AREA), np.float32)
    white, black = (255, 0) if full else (235, 16)
    step = 1 << (bits - 8)
    return (small - np.float32(black * step)) / np.float32((white - black) * step)
