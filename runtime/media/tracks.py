"""Everything of a source beside the video that is restored: packets copied untouched, chapters, tags, attachments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from fastrestore.runtime.media.containers import OutputContainerKind, can_hold
from fastrestore.runtime.media.translate import reading

if TYPE_CHECKING:  # only PyAV's stubs have the name
    from av.container.core import Chapter

# What a muxer writes of its own; carrying the old values over would be wrong.
_CONTAINER_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
_STREAM_TAGS = {"duration", "encoder", "vendor_id", "handler_name", "number_of_frames", "number_of_bytes", "bps"}


@dataclass
class TrackSummary:
    """What became of a source's other tracks."""

    copied: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


class TrackCopier:
    """Copies a file's other streams into an output, in step with its video.

    Args:
        path: The source.
        skip: Index of the stream that is restored.
        keep_audio: Whether audio streams are copied.
        start: Seconds that become 0 in the output, or None to keep all times.
        end: Seconds after which nothing is copied, or None.
    """

    def __init__(
        self,
        path: Path,
        skip: int,
        *,
        keep_audio: bool = True,
        start: Fraction | None = None,
        end: Fraction | None = None,
    ) -> None:
        self._path = path
        self._start, self._end = start, end
        self._targets: dict[int, Stream] = {}
        self._pending: Packet[Stream] | None = None
        self._drop_discarded = False
        self._done = False
        self._keep_audio = keep_audio
        self.video_index = skip
        self.summary = TrackSummary()
        with reading(path):
            self._container: InputContainer = av.open(str(path), metadata_errors="replace")
        self._packets: Iterator[Packet[Stream]] | None = None

    def attach(self, output: OutputContainer, kind: OutputContainerKind) -> TrackSummary:
        """Add a stream to the output for everything that it can hold, copy chapters and tags; before any packet."""
        self._drop_discarded = not kind.negative_times
        for stream in self._container.streams:
            if stream.index == self.video_index:
                continue
            label = _label(stream)
            if stream.type == "audio" and not self._keep_audio:
                self.summary.left_out.append(f"{label}: replaced by the new soundtrack")
            elif can_hold(kind, stream):
                self._add(output, stream)
                self.summary.copied.append(label)
            else:
                self.summary.left_out.append(f"{label}: {kind.format} cannot hold it")
        output.metadata.update({k: v for k, v in self._container.metadata.items() if k.lower() not in _CONTAINER_TAGS})
        self._copy_chapters(output)
        return self.summary

    def stream_tags(self, index: int) -> dict[str, str]:
        """Return a source stream's tags, less those that a muxer writes itself."""
        tags = self._container.streams[index].metadata
        return {key: value for key, value in tags.items() if key.lower() not in _STREAM_TAGS}

    def stream_disposition(self, index: int) -> Disposition:
        """Return a source stream's disposition flags."""
        return self._container.streams[index].disposition

    def advance(self, output: OutputContainer, until: Fraction | None) -> None:
        """Write every packet that belongs before `until` (seconds of the output), or all of them if None."""
        while not self._done:
            packet = self._pending or self._next()
            self._pending = None
            if packet is None:
                self._done = True
                return
            if until is not None and self._output_time(packet) > until:
                self._pending = packet
                return
            self._write(output, packet)

    def close(self) -> None:
        """Close the source."""
        self._container.close()

    def _add(self, output: OutputContainer, stream: Stream) -> None:
        target = output.add_stream_from_template(stream)
        target.metadata.update(self.stream_tags(stream.index))
        target.disposition = stream.disposition
        if stream.type != "attachment":  # an attachment's payload travels in the header
            self._targets[stream.index] = target

    def _copy_chapters(self, output: OutputContainer) -> None:
        chapters = self._container.chapters()
        if self._start is not None or self._end is not None:
            chapters = [c for c in (self._cut_chapter(c) for c in chapters) if c is not None]
        if chapters:
            output.set_chapters(chapters)
            self.summary.copied.append(f"{len(chapters)} chapters")

    def _cut_chapter(self, chapter: Chapter) -> Chapter | None:
        base = chapter["time_base"] or Fraction(1, av.time_base)
        origin = int((self._start or 0) / base)
        last = chapter["end"] if self._end is None else min(chapter["end"], int(self._end / base))
        first = max(chapter["start"], origin)
        if last <= first:
            return None
        return {**chapter, "start": first - origin, "end": last - origin}

    def _next(self) -> Packet[Stream] | None:
        if self._packets is None:
            streams = [self._container.streams[index] for index in self._targets]
            if not streams:
                return None
            with reading(self._path, " while copying tracks"):
                if self._start is not None:
                    self._container.seek(int(self._start * av.time_base), backward=True)
            self._packets = self._container.demux(streams)
        for packet in self._read():
            if packet.dts is None and packet.pts is None:
                continue  # the flush packet that ends a stream
            if self._wanted(packet):
                return packet
        return None

    def _read(self) -> Iterator[Packet[Stream]]:
        assert self._packets is not None
        while True:
            with reading(self._path, " while copying tracks"):
                packet = next(self._packets, None)
            if packet is None:
                return
            yield packet

    def _wanted(self, packet: Packet[Stream]) -> bool:
        if self._drop_discarded and packet.is_discard:
            return False
        at = self._source_time(packet)
        length = (packet.duration or 0) * packet.time_base
        after_start = self._start is None or at + length > self._start
        return after_start and (self._end is None or at < self._end)

    def _source_time(self, packet: Packet[Stream]) -> Fraction:
        stamp = packet.pts if packet.pts is not None else packet.dts
        return Fraction(stamp or 0) * packet.time_base

    def _output_time(self, packet: Packet[Stream]) -> Fraction:
        return self._source_time(packet) - (self._start or 0)

    def _write(self, output: OutputContainer, packet: Packet[Stream]) -> None:
        if self._start is not None:
            shift = round(self._start / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
        packet.stream = self._targets[packet.stream_index]
        output.mux_one(packet)


def _label(stream: Stream) -> str:
    codec = getattr(stream.codec_context, "name", None) if stream.codec_context else None
    language = stream.metadata.get("language", "")
    words = [f"stream {stream.index}", stream.type, codec or "", language if language != "und" else ""]
    return " ".join(word for word in words if word)
