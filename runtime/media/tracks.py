"""Everything of a source beside the video that is restored: packets copied untouched, chapters, tags, attachments."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream

from fastrestore.runtime.media.containers import OutputContainerKind, can_hold
from fastrestore.runtime.media.opening import demux, open_file
from fastrestore.runtime.media.tags import container_tags, is_cover, lost_stream_tags, lost_tags, stream_tags
from fastrestore.runtime.media.translate import reading

if TYPE_CHECKING:  # only PyAV's stubs have the name
    from av.container.core import Chapter

_SEEK_MARGIN_S = 30
"""How far before the start of a range copying begins: a subtitle may have been shown for so long."""
_MATROSKA_ROUNDING_S = Fraction(1, 2000)
_EMPTY_MOV_TEXT = bytes(2)


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
        self._kind: OutputContainerKind | None = None
        self._started: set[int] = set()
        self._written: set[int] = set()
        self._last_dts: dict[int, int] = {}
        self._done = False
        self._keep_audio = keep_audio
        self.video_index = skip
        self.summary = TrackSummary()
        with reading(path):
            self._container: InputContainer = open_file(path)
        self._packets: Iterator[Packet[Stream]] | None = None

    def attach(self, output: OutputContainer, kind: OutputContainerKind) -> TrackSummary:
        """Add a stream to the output for everything that it can hold, copy chapters and tags; before any packet."""
        self._kind = kind
        for stream in self._container.streams:
            label = _label(stream)
            # Chapters are copied as such, and a timecode track is made from the video's tag.
            if stream.index == self.video_index or is_made_by_muxer(stream):
                continue
            if stream.type == "audio" and not self._keep_audio:
                self.summary.left_out.append(f"{label}: replaced by the new soundtrack")
            elif can_hold(kind, stream):
                self._add(output, stream)
                self.summary.copied.append(label)
            else:
                self.summary.left_out.append(f"{label}: {kind.format} cannot hold it")
        self._copy_tags(output)
        self._copy_chapters(output)
        return self.summary

    def stream_tags(self, index: int) -> dict[str, str]:
        """Return a source stream's tags, less those that a muxer writes itself."""
        tags = stream_tags(self._container.streams[index])
        if self._start is not None and tags.pop("timecode", None) is not None:
            self._note_timecode()
        return tags

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

    def note_empty(self) -> int:
        """Report the tracks of which no packet was written, once all are; return how many there are.

        Nothing of them lies in the range, and an MP4 file does not hold a track without content.
        """
        empty = [index for index in self._targets if index not in self._written]
        for index in empty:
            label = _label(self._container.streams[index])
            self.summary.copied.remove(label)
            self.summary.left_out.append(f"{label}: it is empty" + (" in this range" if self._ranged else ""))
        return len(empty)

    @property
    def _ranged(self) -> bool:
        return self._start is not None or self._end is not None

    def close(self) -> None:
        """Close the source."""
        self._container.close()

    def _add(self, output: OutputContainer, stream: Stream) -> None:
        assert self._kind is not None
        tags = self.stream_tags(stream.index)
        if is_cover(stream) and self._kind.attachments:
            name = tags.pop("filename", "cover.png" if "png" in _label(stream) else "cover.jpg")
            mime = tags.pop("mimetype", "image/png" if name.endswith("png") else "image/jpeg")
            output.add_attachment(name, mime, self._cover(stream.index))
            return
        target = output.add_stream_from_template(stream, opaque=True)
        target.metadata.update(tags)
        target.disposition = stream.disposition
        if stream.type == "attachment":
            return  # its payload travels in the header
        if lost := lost_stream_tags(self._kind, tags):
            self.summary.left_out.append(
                f"tags {', '.join(lost)} of stream {stream.index}: {self._kind.format} cannot hold them"
            )
        self._targets[stream.index] = target

    def _cover(self, index: int) -> bytes:
        with reading(self._path), open_file(self._path) as container:
            return next((bytes(p) for p in demux(container, container.streams[index]) if p.size), b"")

    def _copy_tags(self, output: OutputContainer) -> None:
        assert self._kind is not None
        tags = container_tags(self._container.metadata)
        if self._start is not None and tags.pop("timecode", None) is not None:
            self._note_timecode()
        for key in lost_tags(self._kind, tags):
            self.summary.left_out.append(f"tag {key}: {self._kind.format} cannot hold it")
        output.metadata.update(tags)

    def _note_timecode(self) -> None:
        note = "timecode: it counts from the start of the whole film"
        if note not in self.summary.left_out:
            self.summary.left_out.append(note)

    def _copy_chapters(self, output: OutputContainer) -> None:
        chapters = self._container.chapters()
        if self._ranged:
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
            self._packets = self._open_packets()
        for packet in self._packets:
            if packet.size and self._wanted(packet):
                return packet
        return None

    def _open_packets(self) -> Iterator[Packet[Stream]]:
        streams = [self._container.streams[index] for index in self._targets]
        if self._start is not None and self._start > _SEEK_MARGIN_S:
            # A format that cannot seek is read from its beginning, which finds the same packets.
            with contextlib.suppress(av.error.FFmpegError):
                self._container.seek(int((self._start - _SEEK_MARGIN_S) * av.time_base), backward=True)
        packets = demux(self._container, *streams) if streams else iter(())
        while True:
            with reading(self._path, " while copying tracks"):
                packet = next(packets, None)
            if packet is None:
                return
            yield packet

    def _wanted(self, packet: Packet[Stream]) -> bool:
        source = self._container.streams[packet.stream_index]
        if is_cover(source):
            return True
        if packet.pts is None and packet.dts is None:
            return False
        if source.type == "subtitle" and source.name == "mov_text" and bytes(packet) == _EMPTY_MOV_TEXT:
            return False  # fills a gap between two lines; the muxer writes these itself
        at, length = self._source_time(packet), (packet.duration or 0) * packet.time_base
        if self._end is not None and at >= self._end:
            return False
        if source.type == "audio" and self._kind is not None and not self._kind.negative_times:
            # Where times below 0 cannot be held they would move all tracks: a run-in, or the packet that a range begins
            # in the middle of, is left out.
            early = packet.is_discard or at < (self._start or 0) - _MATROSKA_ROUNDING_S
            if early and (self._start is not None or not self._has_delay(packet)):
                return False
        if self._start is None:
            return True
        if source.type == "video" and packet.stream_index not in self._started:
            # Frames before the first key frame could not be decoded.
            if at < self._start or not packet.is_keyframe:
                return False
            self._started.add(packet.stream_index)
        return at >= self._start or at + length > self._start

    def _has_delay(self, packet: Packet[Stream]) -> bool:
        """Whether the stream's header says how long the run-in is: a Matroska file then holds it."""
        context = self._container.streams[packet.stream_index].codec_context
        return not packet.is_discard and getattr(context, "delay", 0) > 0

    def _source_time(self, packet: Packet[Stream]) -> Fraction:
        stamp = packet.pts if packet.pts is not None else packet.dts
        return Fraction(stamp or 0) * packet.time_base

    def _output_time(self, packet: Packet[Stream]) -> Fraction:
        if is_cover(self._container.streams[packet.stream_index]):
            return Fraction(0)
        return self._source_time(packet) - (self._start or 0)

    def _write(self, output: OutputContainer, packet: Packet[Stream]) -> None:
        source, target = self._container.streams[packet.stream_index], self._targets[packet.stream_index]
        if is_cover(source):
            packet.pts = packet.dts = 0
        elif self._start is not None:
            shift = round(self._start / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
            if source.type == "subtitle":
                self._clip(packet)
        self._keep_rising(packet, target)
        self._written.add(source.index)
        packet.stream = target
        output.mux_one(packet)

    def _clip(self, packet: Packet[Stream]) -> None:
        """Let a subtitle that is shown already begin with the range: a time below 0 would move all other tracks."""
        if packet.pts is not None and packet.pts < 0:
            packet.duration = max(0, (packet.duration or 0) + packet.pts)
            packet.pts = packet.dts = 0

    def _keep_rising(self, packet: Packet[Stream], target: Stream) -> None:
        """Muxers refuse a file whose decoding times fall, which damaged sources have."""
        last = self._last_dts.get(packet.stream_index)
        if last is not None and packet.dts is not None and packet.dts <= last and target.type in ("audio", "video"):
            unit = (target.time_base or packet.time_base) / packet.time_base
            moved = last + max(1, math.ceil(unit))
            packet.pts = None if packet.pts is None else max(packet.pts, moved)
            packet.dts = moved
        if packet.dts is not None:
            self._last_dts[packet.stream_index] = packet.dts


def is_chapter_text(stream: Stream) -> bool:
    """Whether a stream is but the titles of the chapters, as MP4 files keep them."""
    return stream.type == "data" and stream.discard == Discard.all


def is_made_by_muxer(stream: Stream) -> bool:
    """Whether a muxer adds such a track of its own accord, for chapters or a timecode."""
    return is_chapter_text(stream) or (stream.type == "data" and "timecode" in stream.metadata)


def _label(stream: Stream) -> str:
    codec = getattr(stream.codec_context, "name", None) if stream.codec_context else None
    language = stream.metadata.get("language", "")
    words = [f"stream {stream.index}", stream.type, codec or "", language if language != "und" else ""]
    return " ".join(word for word in words if word)
