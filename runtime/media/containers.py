"""Which containers we write, and what each can hold."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
from av.stream import Disposition, Stream

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
    aspect: bool = False
    """Whether the width of a pixel is written into it. Matroska could hold it, but PyAV gives no way to say it."""
    any_tag: bool = False
    """Whether tags of any name can be held."""
    covers: bool = False
    """Whether a picture can be held as cover art without being an attachment."""
    negative_times: bool = False
    """Whether packets before 0 can be held and are skipped by players (edit lists)."""


_AUDIO_CLOCK = 48000
_LARGEST_INT = 2**31
_FASTSTART = MappingProxyType({"movflags": "+faststart"})
_MP4 = OutputContainerKind("mp4", _FASTSTART, plays_pcm=False, aspect=True, covers=True, negative_times=True)
CONTAINERS: Mapping[str, OutputContainerKind] = MappingProxyType(
    {
        ".mp4": _MP4,
        ".m4v": _MP4,
        ".mov": OutputContainerKind("mov", _FASTSTART, aspect=True, negative_times=True),
        ".mkv": OutputContainerKind("matroska", attachments=True, any_tag=True),
        ".webm": OutputContainerKind("webm", any_tag=True),
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


def movie_timescale(kind: OutputContainerKind, time_base: Fraction) -> dict[str, str]:
    """Return the muxer's option that keeps the start of a track exact.

    MP4 stores the start of a late track in this unit; the default of 1 ms would move the frames.
    """
    if not kind.negative_times:
        return {}
    unit = math.lcm(time_base.denominator, _AUDIO_CLOCK)
    return {"movie_timescale": str(unit if unit < _LARGEST_INT else time_base.denominator)}


def require_fit(path: Path, codec: str, encoder: str) -> OutputContainerKind:
    """Return the container that a file name asks for, if it can hold what an encoder makes.

    Args:
        path: The output.
        codec: Our name of the codec, for the message.
        encoder: FFmpeg's name of its encoder.

    Raises:
        UsageError: If it cannot, or the extension is none we write.
    """
    kind = container_for(path)
    if not can_encode(kind, encoder):
        raise UsageError(f"a {path.suffix} file cannot hold {codec}", "use an `.mkv` output, or another `--codec`")
    return kind


def can_hold(kind: OutputContainerKind, stream: Stream) -> bool:
    """Return whether a stream's packets can be copied into such a container.

    Found out by writing a header in memory: muxers refuse some codecs only there.
    """
    if stream.type == "attachment":
        return kind.attachments
    if stream.disposition & Disposition.attached_pic:
        if kind.attachments:
            return True
        if not kind.covers:
            return False
    try:
        with av.open(io.BytesIO(), "w", format=kind.format) as trial:
            # Copied as it is (opaque), a stream needs no encoder of its codec.
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def can_encode(kind: OutputContainerKind, encoder: str) -> bool:
    """Return whether a container can hold what an encoder makes."""
    try:
        with av.open(io.BytesIO(), "w", format=kind.format) as trial:
            stream = trial.add_mux_stream(av.Codec(encoder, "w").canonical_name, width=64, height=64)
            stream.time_base = Fraction(1, 1000)
            trial.start_encoding()
    except av.error.InvalidDataError:
        return True  # the codec is known, and only its parameter sets are missed, which an encoder supplies
    except (av.error.FFmpegError, ValueError):
        return False
    return True
