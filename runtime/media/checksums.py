"""Checks the checksums that FFV1, the codec of film archives, keeps of each slice of a picture.

FFmpeg's decoder checks them too, but only writes to its log what it finds, and hands the picture on as good.
"""

from __future__ import annotations

import zlib

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

_FOOTER_BYTES = 8
"""At the end of a slice with a checksum: three bytes of its size, one of its state, four of checksum (RFC 9043)."""
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class SliceChecksums:
    """Checks one stream's packets. Whether a stream has checksums is learnt from the first packet that has.

    Args:
        context: The stream's codec.
    """

    def __init__(self, context: VideoCodecContext) -> None:
        self._possible = context.name == "ffv1" and bool(context.extradata)
        self._present = False

    def intact(self, packet: Packet[VideoStream]) -> bool:
        """Return False if a checksum says that the packet is damaged; True if not, or if there is none."""
        if not self._possible or not packet.size:
            return True
        right = _all_right(bytes(packet))
        self._present |= right
        return right or not self._present


def _all_right(data: bytes) -> bool:
    end = len(data)
    while end > 0:
        size = int.from_bytes(data[end - _FOOTER_BYTES : end - _FOOTER_BYTES + 3], "big") + _FOOTER_BYTES
        if size > end or _crc32(data[end - size : end]):
            return False
        end -= size
    return True


def _crc32(data: bytes) -> int:
    """Return CRC-32 with the highest bit first and nothing inverted: 0 over data that ends with its own checksum.

    zlib's runs from the lowest bit on, and inverts before and after: both are undone.
    """
    return zlib.crc32(data.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
