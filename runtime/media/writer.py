"""Writes the finished file: segments joined by copying their packets, and the source's other tracks beside them."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from fastrestore.config import EncodeOptions
from fastrestore.errors import EncodeError
from fastrestore.runtime.media.containers import movie_timescale, require_fit
from fastrestore.runtime.media.encoders import Encoder, find_encoder
from fastrestore.runtime.media.payload import as_muxed
from fastrestore.runtime.media.soundtrack import Soundtrack
from fastrestore.runtime.media.stamps import Stamps
from fastrestore.runtime.media.stream import add_video, open_encoder
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.media.tracks import TrackCopier, TrackSummary
from fastrestore.runtime.media.translate import reading, writing


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment that was proved, on the disk."""

    path: Path
    stamps: Stamps
    """In ticks of the track's clock."""
    payload_sha256: str
    """Of its packets in decoding order, as the finished file will hold them."""
    reorder: int
    """Frames by which decoding runs ahead of showing."""


@dataclass(frozen=True, slots=True)
class Company:
    """What goes along with the video."""

    copier: TrackCopier | None = None
    """Other tracks of the source."""
    soundtrack: Soundtrack | None = None
    """New audio."""

    def close(self) -> None:
        """Close their files."""
        for source in (self.copier, self.soundtrack):
            if source is not None:
                source.close()


class FilmWriter:
    """A finished file being written, under the very path given: naming and renaming is the caller's business.

    Args:
        path: File to write; overwritten.
        named: Path whose extension chooses the container.
        track: The video.
        options: What the segments were encoded with.
        company: What goes along; it belongs to the writer from here on.
        comment: A tag for the file, where the source does not have one of its own.

    Raises:
        UsageError: If container and codec do not fit.
    """

    def __init__(
        self,
        path: Path,
        named: Path,
        track: VideoTrack,
        options: EncodeOptions,
        company: Company | None = None,
        *,
        comment: str = "",
    ) -> None:
        self._path, self._track, self._options = path, track, options
        self._company, self._comment = company or Company(), comment
        self._encoder = find_encoder(options)
        self._kind = require_fit(named, options.codec, self._encoder.name)
        self.track_count = 0
        """Streams beside the video that have content, once written."""
        self.tracks = TrackSummary()

    def write(self, segments: Sequence[SegmentFile]) -> None:
        """Write the file.

        Args:
            segments: In order; at least one.

        Raises:
            EncodeError: If the file cannot be written, or a segment is not what it was when it was proved.
            DecodeError: If a segment or a track of the source cannot be read.
        """
        # Without `bitexact` Matroska gives files and tracks random numbers.
        exact = {"fflags": "+bitexact"}
        options = {**self._kind.options, **movie_timescale(self._kind, self._track.time_base), **exact}
        with writing(self._path):
            output = av.open(f"file:{self._path}", "w", format=self._kind.format, options=options)
        try:
            with writing(self._path):
                stream = self._add_video(output)
                self._attach_others(output, stream)
                self._note_losses(self._encoder)
                # Only for what the encoder puts into the header; the packets come from the segments.
                open_encoder(stream, self._track, self._options)
                output.start_encoding()
                self.track_count = len(output.streams) - 1
                self._copy(output, stream, segments)
                self._finish_others(output, segments[-1].stamps)
                output.close()
        except BaseException:
            # The run is failing already, with an error that says why.
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                output.close()
            raise

    def close(self) -> None:
        """Close what goes along. Closing twice is fine."""
        self._company.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _add_video(self, output: OutputContainer) -> VideoStream:
        track = self._track
        stream = add_video(output, track, self._options)
        if stream.codec_context.name in ("libx265", "hevc_nvenc") and self._kind.negative_times:
            stream.codec_context.codec_tag = "hvc1"  # what players on Apple systems ask for
        if track.scaled_matrix is not None:
            stream.set_display_matrix(track.scaled_matrix)
        return stream

    def _attach_others(self, output: OutputContainer, stream: VideoStream) -> None:
        copier, soundtrack = self._company.copier, self._company.soundtrack
        if copier is not None:
            self.tracks = copier.attach(output, self._kind)
            stream.metadata.update(copier.stream_tags(copier.video_index))
            stream.disposition = copier.stream_disposition(copier.video_index)
        if self._comment:
            output.metadata.setdefault("comment", self._comment)
        if soundtrack is not None:
            soundtrack.attach(output, self._kind)
            self.tracks.copied.append(soundtrack.label)

    def _note_losses(self, encoder: Encoder) -> None:
        source, codec, lost = self._track.source, self._options.codec, self.tracks.left_out
        if source.hdr and not encoder.hdr_option:
            lost.append(f"HDR metadata: {codec} does not write it")
        if source.pixel_aspect != 1 and not (encoder.writes_aspect or self._kind.aspect):
            lost.append(f"pixel aspect {source.pixel_aspect}: {codec} in {self._kind.format} does not write it")

    def _copy(self, output: OutputContainer, stream: VideoStream, segments: Sequence[SegmentFile]) -> None:
        base = self._track.time_base
        clock = _DecodingClock(segments)
        for segment in segments:
            for packet in _packets(segment, base):
                packet.dts = next(clock)
                packet.time_base, packet.stream = base, stream
                at = Fraction(packet.dts) * base
                if self._company.copier is not None:
                    self._company.copier.advance(output, at)
                if self._company.soundtrack is not None:
                    self._company.soundtrack.advance(output, at)
                output.mux_one(packet)

    def _finish_others(self, output: OutputContainer, last: Stamps) -> None:
        if (copier := self._company.copier) is not None:
            copier.advance(output, None)
            self.track_count -= copier.note_empty()
        if self._company.soundtrack is not None:
            self._company.soundtrack.advance(output, (last.last + last.last_duration) * self._track.time_base)


class _DecodingClock:
    """Decoding times for all packets of a film: each the time that so many frames before it are shown at.

    Encoders make such times up as well, but each segment's would begin before the end of the one before it.
    """

    def __init__(self, segments: Sequence[SegmentFile]) -> None:
        self._delay = max(segment.reorder for segment in segments)
        self._shown = itertools.chain.from_iterable(segment.stamps for segment in segments)
        head = list(itertools.islice(self._shown, self._delay + 1))
        # Before the first frame time runs as it does after it.
        known = [head[0] - (stamp - head[0]) for stamp in reversed(head[1:])]
        known = [head[0] - (self._delay - k) for k in range(self._delay - len(known))] + known
        self._times: Iterator[int] = itertools.chain(known, head, self._shown)

    def __next__(self) -> int:
        return next(self._times)


def _packets(segment: SegmentFile, base: Fraction) -> Iterator[Packet[VideoStream]]:
    """Yield a segment's packets with the times they have in the film.

    Raises:
        EncodeError: If they are not those that were proved.
    """
    durations = dict(zip(segment.stamps, segment.stamps.durations(), strict=True))
    payload, count, origin = hashlib.sha256(), 0, 0
    with reading(segment.path), av.open(f"file:{segment.path}", metadata_errors="replace") as container:
        stream = container.streams.video[0]
        ticks = (stream.time_base or base) / base
        codec = stream.codec_context.codec.canonical_name
        for packet in container.demux(stream):
            if packet.size and count < len(durations):
                payload.update(as_muxed(codec, bytes(packet)))
                raw = packet.pts or 0
                origin = raw if count == 0 else origin  # a segment is decoded from the frame that is shown first
                packet.pts = segment.stamps.first + round((raw - origin) * ticks)
                packet.duration = durations.get(packet.pts, 0)
                count += 1
                yield packet
    if count != len(segment.stamps) or payload.hexdigest() != segment.payload_sha256:
        raise EncodeError(
            f"segment {segment.path.name} has changed on the disk since it was proved",
            "run the command again: it will be made anew; check the disk",
        )
