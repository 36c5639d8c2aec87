"""The one door through which a file that nobody vouches for is opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from fastrestore.errors import DecodeError
from fastrestore.runtime.media.limits import check_container
from fastrestore.runtime.media.translate import reading

_REFERS_ELSEWHERE = {"hls", "concat", "dash", "sdp", "rtsp", "rtp", "imf", "ffmetadata", "webm_dash_manifest"}
"""Formats that only list other files or addresses: what they show is not what they hold."""
_NOT_FILMS = {"tty", "lavfi"}
"""What FFmpeg shows as moving letters, but nobody means as a film."""


def open_file(path: Path, accelerator: HWAccel | None = None) -> InputContainer:
    """Open a local file, whatever its name looks like, and nothing but that file.

    A name such as `concat:a|b` or `http:/x` stays a name, and a playlist cannot make FFmpeg fetch an address.

    Args:
        path: The file.
        accelerator: What is to decode its streams, where it can; None for the CPU.

    Raises:
        DecodeError: If it cannot be read, only refers to other files, or is beyond the limits.
    """
    if "\0" in str(path):
        raise DecodeError(f"cannot read {str(path)!r}: a file's name holds no zero byte", "check the path")
    with reading(path):  # even asking for a file can fail: its name may be too long
        if path.is_dir():
            raise DecodeError(f"cannot read {path}: it is a folder", "give a video file")
        if not path.is_file():
            path.stat()
            raise DecodeError(f"cannot read {path}: it is no regular file", "give a file on a disk")
        options = {"protocol_whitelist": "file"}
        container = av.open(f"file:{path}", options=options, metadata_errors="replace", hwaccel=accelerator)
    try:
        names = set(container.format.name.split(","))
        if names & _NOT_FILMS:
            raise DecodeError(f"cannot read {path}: it is a text file", "give a video file")
        if names & _REFERS_ELSEWHERE:
            raise DecodeError(f"cannot read {path}: it only refers to other files", "give the video file itself")
        check_container(path, container)
    except DecodeError:
        container.close()
        raise
    return container


def demux(container: InputContainer, *streams: Stream) -> Iterator[Packet[Any]]:
    """Yield the packets of some streams, as the container's own `demux` does.

    A stream that begins in the middle of a file (a broadcast's, or a forged one's) makes PyAV look it up among those
    that it knew at the beginning, and fail. Its packets are left out, as those of any stream that was not asked for.
    """
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except IndexError:
            packets = container.demux(*streams)
        except StopIteration:
            return
        else:
            yield packet
