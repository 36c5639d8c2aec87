"""Makes the small clips that the media tests read: every sample, timestamp and track in them is known."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastrestore.config import EncodeOptions
from fastrestore.frames import FORMATS, Colour, Frame, Picture
from fastrestore.geometry import Size
from fastrestore.runtime.manifest import stamp_of
from fastrestore.runtime.media.encoders import output_format
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.media.segment import SegmentWriter, prove_segment
from fastrestore.runtime.media.soundtrack import Soundtrack
from fastrestore.runtime.media.survey import survey
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.media.tracks import TrackCopier
from fastrestore.runtime.media.writer import Company, FilmWriter, SegmentFile

SMALL = Size(64, 48)
RATE = 48000
_ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Bold, Italic, Underline, Alignment, Encoding
Style: Default,Arial,16,&Hffffff,0,0,0,2,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def noise(name: str, index: int = 0, size: Size = SMALL, colour: Colour | None = None) -> Picture:
    """Return a picture of random samples over the whole code range: every bit of every sample is tested."""
    layout = FORMATS[name]
    rng = np.random.default_rng([index, size.width])
    planes = []
    for plane in range(layout.planes):
        shape = layout.plane_size(size, plane)
        planes.append(rng.integers(0, 1 << layout.bits, (shape.height, shape.width)).astype(layout.dtype))
    return Picture(tuple(planes), layout, colour or Colour())


def ramp(name: str, index: int = 0, size: Size = SMALL, colour: Colour | None = None) -> Picture:
    """Return a smooth picture that differs from frame to frame: lossy encoders keep it nearly exact."""
    layout = FORMATS[name]
    planes = []
    for plane in range(layout.planes):
        shape = layout.plane_size(size, plane)
        across = np.linspace(0.2, 0.6, shape.width)[None, :] + np.zeros((shape.height, 1))
        value = (across + 0.02 * index + 0.05 * plane) * ((1 << layout.bits) - 1)
        planes.append(np.round(value).astype(layout.dtype))
    return Picture(tuple(planes), layout, colour or Colour())


def raw_frame(picture: Picture) -> VideoFrame:
    """Return a PyAV frame with the picture's samples and no tags."""
    frame = VideoFrame(picture.size.width, picture.size.height, picture.format.name)
    for plane, samples in zip(frame.planes, picture.planes, strict=True):
        rows = np.frombuffer(memoryview(plane), samples.dtype)
        pitch = plane.line_size // samples.itemsize
        rows[: pitch * plane.height].reshape(plane.height, pitch)[:, : plane.width] = samples
    return frame


@dataclass
class Clip:
    """What the main video stream of a clip is to be."""

    frames: int = 10
    codec: str = "libx264"
    layout: str = "yuv420p"
    size: Size = SMALL
    rate: Fraction = Fraction(25)
    pts: Sequence[int] | None = None
    """In units of `time_base`; None numbers the frames."""
    time_base: Fraction | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    colour: Mapping[str, int] = field(default_factory=dict)
    """Any of colorspace, color_range, color_primaries, color_trc."""
    pixel_aspect: Fraction | None = None
    matrix: tuple[int, ...] | None = None
    pictures: str = "ramp"
    """`ramp` or `noise`."""

    def add(self, output: av.container.OutputContainer) -> VideoStream:
        """Add the stream to an output."""
        stream = output.add_stream(self.codec, rate=self.rate, options=dict(self.options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = self.size.width, self.size.height, self.layout
        stream.codec_context.time_base = self.time_base or 1 / self.rate
        stream.time_base = self.time_base or 1 / self.rate
        if self.pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = self.pixel_aspect
        for name, value in self.colour.items():
            setattr(stream.codec_context, name, value)
        if self.matrix is not None:
            stream.set_display_matrix(self.matrix)
        return stream

    def picture(self, index: int) -> Picture:
        """Return the picture of a frame."""
        make = ramp if self.pictures == "ramp" else noise
        return make(self.layout, index, self.size)

    def packets(self, stream: VideoStream) -> list[Packet[Any]]:
        """Return the encoded stream."""
        packets: list[Packet[Any]] = []
        for index in range(self.frames):
            frame = raw_frame(self.picture(index))
            for name, value in self.colour.items():
                setattr(frame, name, value)
            frame.pts = index if self.pts is None else self.pts[index]
            frame.time_base = self.time_base or 1 / self.rate
            packets += stream.encode(frame)
        return packets + stream.encode(None)


@dataclass
class Sound:
    """An audio stream: a tone."""

    seconds: float = 0.4
    codec: str = "aac"
    start: Fraction = Fraction(0)
    rate: int = RATE
    layout: str = "stereo"
    tags: Mapping[str, str] = field(default_factory=dict)
    disposition: Disposition | None = None

    def add(self, output: av.container.OutputContainer) -> AudioStream:
        """Add the stream to an output."""
        stream = output.add_stream(self.codec, rate=self.rate)
        assert isinstance(stream, AudioStream)
        stream.codec_context.layout = self.layout
        _describe(stream, self.tags, self.disposition)
        return stream

    def packets(self, stream: AudioStream) -> list[Packet[Any]]:
        """Return the encoded stream."""
        context = stream.codec_context
        step = 1024
        packets: list[Packet[Any]] = []
        times = np.arange(round(self.seconds * self.rate)) / self.rate
        tone = 0.4 * np.sin(2 * np.pi * 440 * times)
        resampler = av.AudioResampler(context.format, context.layout, self.rate)
        for begin in range(0, len(tone), step):
            part = np.round(tone[begin : begin + step] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.repeat(part, 2)[None, :], "s16", "stereo")
            frame.sample_rate, frame.pts = self.rate, None
            for piece in resampler.resample(frame):
                piece.pts = begin + round(self.start * self.rate)
                piece.time_base = Fraction(1, self.rate)
                packets += stream.encode(piece)
        return packets + stream.encode(None)


@dataclass
class Lines:
    """A text subtitle stream: `(start ms, duration ms, text)` each."""

    codec: str = "subrip"
    lines: Sequence[tuple[int, int, str]] = ((0, 200, "one"), (250, 100, "two"))
    tags: Mapping[str, str] = field(default_factory=dict)
    disposition: Disposition | None = None

    def add(self, output: av.container.OutputContainer) -> Stream:
        """Add the stream to an output."""
        stream = output.add_stream(self.codec)
        assert isinstance(stream, SubtitleStream)
        stream.time_base = Fraction(1, 1000)
        stream.codec_context.subtitle_header = _ASS_HEADER
        _describe(stream, self.tags, self.disposition)
        return stream

    def packets(self, stream: Stream) -> list[Packet[Any]]:
        """Return the packets, written by hand: their payload is the codec's own."""
        packets: list[Packet[Any]] = []
        for number, (start, length, text) in enumerate(self.lines):
            packet: Packet[Any] = Packet(self._payload(number, text))
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = start
            packet.duration = length
            packet.is_keyframe = True
            packets.append(packet)
        return packets

    def _payload(self, number: int, text: str) -> bytes:
        if self.codec == "mov_text":
            return len(text).to_bytes(2, "big") + text.encode()
        return f"{number},0,Default,,0,0,0,,{text}".encode() if self.codec == "ass" else text.encode()


def write_clip(
    path: Path,
    video: Clip | None = None,
    others: Sequence[Clip | Sound | Lines] = (),
    *,
    format: str | None = None,
    tags: Mapping[str, str] | None = None,
    chapters: Sequence[tuple[int, int, str]] = (),
    attachments: Sequence[tuple[str, str, bytes]] = (),
    options: Mapping[str, str] | None = None,
    first: Sequence[Clip | Sound | Lines] = (),
) -> Path:
    """Write a clip; `first` are streams before the video, chapters are `(start ms, end ms, title)`."""
    with av.open(str(path), "w", format=format, options=dict(options or {})) as output:
        makers = [*first, *([video] if video is not None else []), *others]
        added: list[tuple[Any, Any]] = [(maker, maker.add(output)) for maker in makers]
        for name, mime, data in attachments:
            output.add_attachment(name, mime, data)
        output.metadata.update(tags or {})
        if chapters:
            output.set_chapters(
                [
                    {"id": i, "start": a, "end": b, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                    for i, (a, b, title) in enumerate(chapters)
                ]
            )
        output.start_encoding()
        packets = [packet for maker, stream in added for packet in maker.packets(stream)]
        for packet in sorted(packets, key=lambda p: Fraction(p.dts or 0) * p.time_base):
            output.mux_one(packet)
    return path


@dataclass(frozen=True)
class Heard:
    """A packet as found in a file."""

    pts: Fraction
    data: bytes
    duration: Fraction = Fraction(0)


def packets_of(path: Path, index: int) -> list[Heard]:
    """Return all packets of a stream, in order."""
    with av.open(str(path)) as container:
        stream = container.streams[index]
        return [
            Heard(Fraction(p.pts) * p.time_base, bytes(p), (p.duration or 0) * p.time_base)
            for p in container.demux(stream)
            if p.pts is not None and p.size
        ]


def write_film(
    output: Path,
    track: VideoTrack,
    options: EncodeOptions,
    frames: Sequence[Frame],
    company: Company | None = None,
    *,
    split: int = 5,
) -> FilmWriter:
    """Write a film from segments of `split` frames each."""
    segments: list[SegmentFile] = []
    folder = output.with_name(f"{output.name}.segments")
    folder.mkdir(exist_ok=True)
    with FilmWriter(output, output, track, options, company) as writer:
        for begin in range(0, max(1, len(frames)), split):
            path = folder / f"{begin}.nut"
            after = segments[-1].stamps.last if segments else None
            with SegmentWriter(path, track, options, after=after) as segment:
                for frame in frames[begin : begin + split]:
                    segment.write(frame)
                encoded = segment.finish()
            proof = prove_segment(path, track, encoded)
            segments.append(SegmentFile(path, encoded.stamps, proof.payload_sha256, proof.reorder))
        writer.write(segments)
    shutil.rmtree(folder)
    return writer


def restore(
    source: Path,
    output: Path,
    *,
    codec: str = "x264",
    rate: Fraction | None = None,
    start: Fraction | None = None,
    end: Fraction | None = None,
    audio: Path | None = None,
) -> FilmWriter:
    """Write a file as a job does, with smooth pictures in place of restored ones, and check it."""
    with VideoReader(source, start=start, end=end) as reader:
        options = EncodeOptions(codec=codec)
        layout = output_format(reader.info, reader.info.size, options)
        shift = reader.first_pts if start is not None else Fraction(0)
        begin = reader.first_pts - shift
        track = VideoTrack(
            reader.info.size, layout, reader.info.colour, reader.info, rate, begin, reader.display_matrix
        )
        copier = TrackCopier(
            source,
            reader.stream_index,
            keep_audio=audio is None,
            start=None if start is None else shift,
            end=end,
        )
        soundtrack = None if audio is None else Soundtrack(audio, begin, 96_000)
        times = [(frame.pts - shift, frame.duration) for frame in reader]
        if rate is not None:
            count = math.ceil((times[-1][0] + times[-1][1] - begin) * rate)
            times = [(begin + k / rate, 1 / rate) for k in range(count)]
        frames = [
            Frame(ramp(layout.name, index % 8, reader.info.size, reader.info.colour), pts, duration)
            for index, (pts, duration) in enumerate(times)
        ]
        writer = write_film(output, track, options, frames, Company(copier, soundtrack))
        found = survey(output)
        unit = found.video.unit
        assert list(found.video.stamps) == [stamp_of(pts, unit) for pts, _ in times]
        assert len(found.tracks) >= writer.track_count
        return writer


def _describe(stream: Stream, tags: Mapping[str, str], disposition: Disposition | None) -> None:
    stream.metadata.update(tags)
    if disposition is not None:
        stream.disposition = disposition
