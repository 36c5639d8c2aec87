"""A packet's payload as a muxer writes it into MP4 and Matroska files, worked out without one.

Encoders put H.264 and HEVC out as byte streams with start codes and AV1 with temporal delimiters, and NUT keeps them
so; the muxers of MP4 and Matroska put lengths in place of the start codes and leave the delimiters out. A hash taken
before must be taken of what will be there after.
"""

from __future__ import annotations

from collections.abc import Iterator

_START_CODE = b"\0\0\1"
_OBU_LEFT_OUT = {2, 7, 8, 15}
"""Temporal delimiters, redundant frame headers, tile lists and padding (AV1 in ISO BMFF, section 2.4)."""


def as_muxed(codec: str, payload: bytes) -> bytes:
    """Return a packet's payload as it will be in an MP4, QuickTime, Matroska or WebM file.

    Args:
        codec: FFmpeg's name of the coding, such as `h264`.
        payload: As an encoder gave it. What one of those files holds already must not be given: the length of a unit
            can look like a start code.
    """
    if codec in ("h264", "hevc"):
        return b"".join(len(unit).to_bytes(4, "big") + unit for unit in _units(payload))
    if codec == "av1":
        return b"".join(_obus(payload))
    return payload


def _units(stream: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a byte stream (ITU-T H.264, annex B)."""
    begin = stream.find(_START_CODE)
    while begin >= 0:
        begin += len(_START_CODE)
        after = stream.find(_START_CODE, begin)
        end = len(stream) if after < 0 else after
        if after > begin and stream[after - 1] == 0:
            end -= 1  # the first byte of a start code of four
        if end > begin:
            yield stream[begin:end]
        begin = after


def _obus(unit: bytes) -> Iterator[bytes]:
    """Yield the OBUs of a temporal unit that a file holds (AV1 specification, section 5.3)."""
    at = 0
    while at < len(unit):
        head = unit[at]
        payload = at + 1 + (head >> 2 & 1)
        end = len(unit)
        if head >> 1 & 1:
            length = shift = 0
            while payload < len(unit):
                byte = unit[payload]
                length |= (byte & 127) << shift
                payload, shift = payload + 1, shift + 7
                if byte < 128 or shift > 56:
                    break
            end = min(end, payload + length)
        if head >> 3 & 15 not in _OBU_LEFT_OUT:
            yield unit[at:end]
        at = end
