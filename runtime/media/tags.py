"""Tags of files and streams: what they mean, which are carried over, and which a container would lose."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction

import av
from av.stream import Disposition, Stream

from fastrestore.runtime.media.containers import OutputContainerKind

# What a muxer writes of its own; carrying the old values over would be wrong.
_CONTAINER_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "fastrestore"}
_STREAM_TAGS = {"duration", "encoder", "vendor_id", "number_of_frames", "number_of_bytes", "bps"}
_TRACK_TAGS = {"title", "language", "handler_name", "timecode", "creation_time", "rotate"}
"""What a track of an MP4 or QuickTime file holds; rotation is held by the display matrix."""
_HANDLER_NAMES = {"VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler"}
"""Names that FFmpeg gives to tracks without one."""


def is_cover(stream: Stream) -> bool:
    """Whether a stream is a single picture that stands for the file."""
    return bool(stream.disposition & Disposition.attached_pic)


def container_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return a file's tags, less those that a muxer writes itself."""
    return {key: value for key, value in tags.items() if key.lower() not in _CONTAINER_TAGS}


def stream_tags(stream: Stream) -> dict[str, str]:
    """Return a stream's tags, less those that a muxer writes itself or that count its packets."""
    kept = {}
    for key, value in stream.metadata.items():
        word = key.lower()
        # Matroska's statistics may carry a language: `BPS-eng`.
        counted = word.split("-")[0] in _STREAM_TAGS or word.startswith("_statistics")
        if not counted and not (word == "handler_name" and value in _HANDLER_NAMES):
            kept[key] = value
    if "name" in kept and "title" not in kept:
        kept["title"] = kept.pop("name")  # FFmpeg writes a title into MP4 tracks under one name and reads another
    return kept


def lost_tags(kind: OutputContainerKind, tags: Mapping[str, str]) -> list[str]:
    """Return the names of tags that such a container does not hold, found by writing and reading one in memory."""
    if kind.any_tag or not tags:
        return []
    memory = io.BytesIO()
    with av.open(memory, "w", format=kind.format) as trial:
        trial.add_mux_stream("h264", width=16, height=16).time_base = Fraction(1, 1000)
        trial.metadata.update(tags)
        trial.start_encoding()
    memory.seek(0)
    with av.open(memory, "r", metadata_errors="replace") as back:
        found = {key.lower() for key in back.metadata}
    return sorted(key for key in tags if key.lower() not in found)


def lost_stream_tags(kind: OutputContainerKind, tags: Mapping[str, str]) -> list[str]:
    """Return the names of a stream's tags that such a container does not hold."""
    return [] if kind.any_tag else sorted(key for key in tags if key.lower() not in _TRACK_TAGS)
