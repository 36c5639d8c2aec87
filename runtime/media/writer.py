"""Writes a video file: encoded frames with exact timestamps, and every other track of the source beside them."""

from __future__ import annotations

import contextlib
import math
import os
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
from fastrestore.frames import Colour, Frame, PixelFormat, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.media import pixels
from fastrestore.runtime.media.containers import OutputContainerKind, require_fit
from fastrestore.runtime.media.encoders import Encoder, codec_options, find_encoder, require_installed
from fastrestore.runtime.media.soundtrack import Soundtrack
from fastrestore.runtime.media.tracks import TrackCopier, TrackSummary
from fastrestore.runtime.media.translate import writing

FINEST_TIME_BASE = 10**9
"""Largest denominator of a time base; beyond it containers overflow."""
_AUDIO_CLOCK = 48000
_LARGEST_INT = 2**31


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """What the video stream is to be."""

    size: Size
    format: PixelFormat
    colour: Colour
    source: StreamInfo
    """For aspect, HDR metadata and clock."""
    rate: Fraction | None
    """Steady frames a second, or None if the instants vary."""
    first_pts: Fraction
    """Seconds of the first frame."""
    display_matrix: tuple[int, ...] | None = None

    @property
    def time_base(self) -> Fraction:
        """The coarsest unit 1/n in which every instant is a whole number."""
        step = self.source.time_base if self.rate is None else 1 / self.rate
        return Fraction(1, min(math.lcm(step.denominator, self.first_pts.denominator), FINEST_TIME_BASE))


class VideoWriter:
    """A video file being written, under the very path given: naming and renaming is the caller's business.

    Args:
        path: File to write; overwritten.
        named: Path whose extension chooses the container.
        track: The video.
        options: Encoder settings.
        copier: Other tracks of the source, or None.
        soundtrack: New audio, or None.

    Raises:
        UsageError: If container and codec do not fit.
        EncodeError: If the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        named: Path,
        track: VideoTrack,
        options: EncodeOptions,
        copier: TrackCopier | None = None,
        soundtrack: Soundtrack | None = None,
    ) -> None:
        self._path, self._track, self._options = path, track, options
        self._copier, self._soundtrack = copier, soundtrack
        encoder = find_encoder(options)
        require_installed(encoder)
        self._kind = require_fit(named, options.codec, encoder.name)
        self._semi_planar = encoder.semi_planar_10 and track.format.bits > 8
        self.frames = 0
        self.track_count = 0
        """Streams beside the video: those added until `finish`, then those that have content."""
        self.tracks = TrackSummary()
        self._last: Frame | None = None
        self._last_stamp: int | None = None
        self._durations: dict[int, int] = {}
        with writing(path):
            self._output: OutputContainer | None = av.open(
                str(path), "w", format=self._kind.format, options=_container_options(self._kind, track)
            )
        try:
            with writing(path):
                self._stream = self._add_video(self._output, encoder.name)
                self._attach_others(self._output)
                self._note_losses(encoder)
                self._open_encoder()
                self._output.start_encoding()
                self.track_count = len(self._output.streams) - 1
        except BaseException:
            self.abort()
            raise

    def write(self, frame: Frame) -> None:
        """Encode one frame. Its `pts` must be later than the last one's.

        Raises:
            EncodeError: If encoding or writing fails.
        """
        assert self._output is not None
        base = self._track.time_base
        picture = pixels.frame_from_picture(frame.picture)
        if self._semi_planar:
            picture = picture.reformat(format="p010le")
        picture.time_base = base
        stamp = round(frame.pts / base)
        if self._last_stamp is not None:
            stamp = max(stamp, self._last_stamp + 1)  # repaired times may lie closer together than the clock ticks
        picture.pts = self._last_stamp = stamp
        self._durations[stamp] = round(frame.duration / base)
        picture.pict_type = 0
        with writing(self._path):
            self._mux(self._stream.encode(picture))
        self._last = frame
        self.frames += 1

    def finish(self) -> None:
        """Drain the encoder, write what is left of the other tracks and the trailer.

        Raises:
            EncodeError: If any of it fails, or no frame was written.
        """
        assert self._output is not None
        if self._last is None:
            raise EncodeError(f"cannot write {self._path}: there was no frame to encode", "check `--start` and `--end`")
        end = self._last.pts + self._last.duration
        with writing(self._path):
            self._mux(self._stream.encode(None))
            if self._copier is not None:
                self._copier.advance(self._output, None)
                self.track_count -= self._copier.note_empty()
            if self._soundtrack is not None:
                self._soundtrack.advance(self._output, end)
            self._output.close()
        self._output = None
        self._close_sources()

    def abort(self) -> None:
        """Give up: close everything and leave whatever is there. Fine to call twice or after `finish`."""
        output, self._output = self._output, None
        if output is not None:
            # The run is failing already, with an error that says why.
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                output.close()
        self._close_sources()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    def _close_sources(self) -> None:
        for source in (self._copier, self._soundtrack):
            if source is not None:
                source.close()

    def _add_video(self, output: OutputContainer, codec: str) -> VideoStream:
        track = self._track
        rate = track.rate or track.source.rate or Fraction(25)
        stream = output.add_stream(codec, rate=rate, options=codec_options(self._options, track.source))
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height = track.size.width, track.size.height
        context.pix_fmt = "p010le" if self._semi_planar else track.format.name
        context.time_base = track.time_base
        stream.time_base = track.time_base
        context.sample_aspect_ratio = track.source.pixel_aspect
        pixels.tag(context, track.colour)
        context.options["chroma_sample_location"] = {"LEFT": "left", "CENTER": "center", "TOP_LEFT": "topleft"}[
            track.colour.siting.name
        ]
        if codec in ("libx265", "hevc_nvenc") and self._kind.negative_times:
            context.codec_tag = "hvc1"  # what players on Apple systems ask for
        if track.display_matrix is not None:
            stream.set_display_matrix(_scaled_matrix(track.display_matrix, track))
        return stream

    def _attach_others(self, output: OutputContainer) -> None:
        if self._copier is not None:
            self.tracks = self._copier.attach(output, self._kind)
            index = self._copier.video_index
            self._stream.metadata.update(self._copier.stream_tags(index))
            self._stream.disposition = self._copier.stream_disposition(index)
        if self._soundtrack is not None:
            self._soundtrack.attach(output, self._kind)
            self.tracks.copied.append(self._soundtrack.label)

    def _note_losses(self, encoder: Encoder) -> None:
        source, codec, lost = self._track.source, self._options.codec, self.tracks.left_out
        if source.hdr and not encoder.hdr_option:
            lost.append(f"HDR metadata: {codec} does not write it")
        if source.pixel_aspect != 1 and not (encoder.writes_aspect or self._kind.aspect):
            lost.append(f"pixel aspect {source.pixel_aspect}: {codec} in {self._kind.format} does not write it")

    def _open_encoder(self) -> None:
        # SVT-AV1 writes to the terminal whatever FFmpeg's log level is, and can only be told so here.
        os.environ.setdefault("SVT_LOG", "1")
        try:
            self._stream.codec_context.open()
        except av.error.FFmpegError as error:
            hint = "use a smaller `--to` or another `--codec`"
            if "nvenc" in self._options.codec:
                hint = "it needs an NVIDIA card with an encoder; use `--codec x264`"
            size, layout = self._track.size, self._track.format.name
            raise EncodeError(
                f"encoder {self._options.codec} does not start for {size} {layout}: {error.strerror}",
                hint,
            ) from error

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._output is not None
        for packet in packets:
            # Encoders make one up from the nominal rate, which is wrong where the rate varies.
            if packet.pts is not None and packet.time_base == self._track.time_base:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
            at = Fraction(packet.dts or 0) * packet.time_base
            if self._copier is not None:
                self._copier.advance(self._output, at)
            if self._soundtrack is not None:
                self._soundtrack.advance(self._output, at)
            self._output.mux_one(packet)


def _container_options(kind: OutputContainerKind, track: VideoTrack) -> dict[str, str]:
    options = dict(kind.options)
    if kind.negative_times:
        # MP4 stores the start of a late track in this unit; the default of 1 ms would move the frames.
        unit = math.lcm(track.time_base.denominator, _AUDIO_CLOCK)
        options["movie_timescale"] = str(unit if unit < _LARGEST_INT else track.time_base.denominator)
    return options


def _scaled_matrix(matrix: tuple[int, ...], track: VideoTrack) -> tuple[int, ...]:
    """Return a display matrix for the new size: what it moves the picture by is in pixels, as shown."""
    across = Fraction(track.size.width, track.source.size.width)
    down = Fraction(track.size.height, track.source.size.height)
    if track.source.rotation % 180:
        across, down = down, across
    return (*matrix[:6], round(matrix[6] * across), round(matrix[7] * down), matrix[8])
