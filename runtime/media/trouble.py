"""Notices which packets gave no picture, and which pictures no packet came for."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from fastrestore.runtime.media.opening import open_file

_REPEATS_BYTES = 8
"""A packet no longer than this that gives no picture says: show the last one again (AVI's and MPEG-4's way)."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong between two frames, or after the last one."""

    lost: tuple[Fraction, ...] = ()
    """Seconds of packets that gave no picture, rising."""
    absent: tuple[Fraction, ...] = ()
    """Seconds of pictures that the file's index lists, and that no packet came for, rising."""
    refused: int = 0
    """Packets that the decoder refused."""


class TroubleFinder:
    """Matches the packets that went into a decoder with the pictures that came out.

    Args:
        index: Timestamps that the file's index lists, rising.
    """

    def __init__(self, index: list[int] | None = None) -> None:
        self._index = index or []
        self._awaited: list[int] = []
        self._damaged: set[int] = set()
        self._previous: int | None = None
        self.refused = 0
        self.silence = 0
        """Packets since the last picture."""
        self.at_end = Trouble()

    def sees(self, packet: Packet[VideoStream], *, intact: bool) -> None:
        """Note a packet before it is decoded."""
        self.silence += 1
        if packet.pts is None or packet.is_discard:
            return
        if packet.size > _REPEATS_BYTES:
            heapq.heappush(self._awaited, packet.pts)
        if packet.is_corrupt or not intact:
            self._damaged.add(packet.pts)

    def is_damaged(self, pts: int | None) -> bool:
        """Whether the packet of that time was damaged before it was decoded."""
        if pts not in self._damaged:
            return False
        self._damaged.discard(pts)
        return True

    def before(self, pts: int | None, unit: Fraction) -> Trouble:
        """Return what went wrong since the last picture, now that one of time `pts` came."""
        lost = []
        while pts is not None and self._awaited and self._awaited[0] <= pts:
            lost.append(heapq.heappop(self._awaited))
        trouble = self._found([time for time in lost if time != pts], pts, unit)
        self._previous = pts
        return trouble

    def finish(self, unit: Fraction) -> None:
        """Note that no more pictures come."""
        self.at_end = self._found(sorted(self._awaited), None, unit)

    def _found(self, lost: list[int], pts: int | None, unit: Fraction) -> Trouble:
        after = self._previous
        first = 0 if after is None else bisect_right(self._index, after)
        stop = len(self._index) if pts is None else bisect_left(self._index, pts)
        trouble = Trouble(
            tuple(time * unit for time in lost if after is None or time > after),
            tuple(time * unit for time in self._index[first:stop]),
            self.refused,
        )
        self.refused = self.silence = 0
        return trouble


def index_times(path: Path, container: InputContainer, stream: VideoStream) -> list[int]:
    """Return the timestamps of pictures that the file's index lists, rising: Matroska's key frames, all of AVI's.

    Matroska's index is only read when something is sought. That is done in a second opening of the file: a forged
    index would otherwise decide where reading begins.
    """
    if "matroska" in container.format.name:
        try:
            with open_file(path) as other:
                other.seek(0, stream=other.streams[stream.index])
                return sorted(entry.timestamp for entry in other.streams[stream.index].index_entries)
        except (av.error.FFmpegError, IndexError):
            return []  # it has none
    if "avi" in container.format.name.split(","):
        return sorted(entry.timestamp for entry in stream.index_entries if entry.size > _REPEATS_BYTES)
    return []
