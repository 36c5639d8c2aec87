"""Which containers we write, and what each can hold."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import av
from av.stream import Stream

from fastrestore.errors import UsageError


@dataclass(frozen=True, slots=True)
class OutputContainerKind:
    """Facts about one container."""

    format: str
    """FFmpeg's name."""
    options: Mapping[str, str] = field(default_factory=dict)
    attachments: bool = False
    plays_pcm: bool = True
    """Whether players expect uncompressed audio in it; MP4 can hold it, but hardly anything plays that."""
    negative_times: bool = False
    """Whether packets before 0 can be held and are skipped by players (edit lists)."""


_MP4 = OutputContainerKind("mp4", MappingProxyType({"movflags": "+faststart"}), plays_pcm=False, negative_times=True)
CONTAINERS: Mapping[str, OutputContainerKind] = MappingProxyType(
    {
        ".mp4": _MP4,
        ".m4v": _MP4,
        ".mov": OutputContainerKind("mov", MappingProxyType({"movflags": "+faststart"}), negative_times=True),
        ".mkv": OutputContainerKind("matroska", attachments=True),
        ".webm": OutputContainerKind("webm"),
    }
)


def container_for(path: Path) -> OutputContainerKind:
    """Return the container that a file name asks for.

    Raises:
        UsageError: If the extension is none we write.
    """
    kind = CONTAINERS.get(path.suffix.lower())
    if kind is None:
        found = f"`{path.suffix}`" if path.suffix else "no extension"
        raise UsageError(f"output {path.name} has {found}", f"end its name in one of {', '.join(CONTAINERS)}")
    return kind


def can_hold(kind: OutputContainerKind, stream: Stream) -> bool:
    """Return whether a stream's packets can be copied into such a container.

    Found out by writing a header in memory: muxers refuse some codecs only there.
    """
    if stream.type == "attachment":
        return kind.attachments
    try:
        with av.open(io.BytesIO(), "w", format=kind.format) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def can_encode(kind: OutputContainerKind, codec: str) -> bool:
    """Return whether such a container can hold an encoder's output."""
    try:
        with av.open(io.BytesIO(), "w", format=kind.format) as trial:
            trial.add_stream(codec)
    except (av.error.FFmpegError, ValueError):
        return False
    return True
