"""Finds out from what a file says of itself whether its end is missing."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def missing_bytes(path: Path, container: InputContainer) -> int:
    """Return how many bytes a file lacks that it says it has; 0 if it is whole or does not say.

    FFmpeg reads a file that was cut off to where it ends, without an error.
    """
    size = path.stat().st_size
    if "mov" in container.format.name:
        ends = (entry.pos + entry.size for stream in container.streams for entry in stream.index_entries)
        return max(0, max(ends, default=0) - size)
    if "matroska" in container.format.name:
        return max(0, _matroska_end(path) - size)
    return 0


def promised_end(stream: VideoStream) -> Fraction | None:
    """Return when a stream ends by its own tag, in seconds on the file's clock, or None if it has none.

    Matroska's writers put one on each track; the duration of the whole file may be that of a longer soundtrack.
    """
    match = re.fullmatch(r"(\d{1,5}):(\d\d):(\d\d(?:\.\d{1,9})?)", stream.metadata.get("DURATION", ""))
    if match is None or "matroska" not in stream.container.format.name:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def _matroska_end(path: Path) -> int:
    """Return where the segment ends by its header, or 0 if it does not say (as in a live recording)."""
    with path.open("rb") as file:
        head = file.read(4096)
    at = 0
    while at + 12 <= len(head):
        name = int.from_bytes(head[at : at + 4], "big")
        length_bytes = 9 - head[at + 4].bit_length()
        if name not in (_EBML, _SEGMENT) or length_bytes > 8:
            return 0
        payload = at + 4 + length_bytes
        length = int.from_bytes(head[at + 4 : payload], "big") & ((1 << 7 * length_bytes) - 1)
        unknown = length == (1 << 7 * length_bytes) - 1
        if name == _SEGMENT:
            return 0 if unknown else payload + length
        at = payload + length
    return 0
