"""Reads once what a file holds: its tracks, every packet's time, the hashes of what is in them. Nothing is decoded."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastrestore.errors import DecodeError
from fastrestore.runtime.manifest import stamp_of
from fastrestore.runtime.media import postscript
from fastrestore.runtime.media.opening import open_file
from fastrestore.runtime.media.tags import is_cover
from fastrestore.runtime.media.tracks import is_made_by_muxer
from fastrestore.runtime.media.translate import no_video, reading
from fastrestore.runtime.media.truncation import missing_bytes

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_EMPTY_MOV_TEXT = bytes(2)


@dataclass(frozen=True, slots=True)
class ColourTags:
    """What a file says about its colours, as H.273 numbers; 2 is unspecified."""

    matrix: int
    primaries: int
    transfer: int
    full_range: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Packets that belong together."""

    packets: int
    sha256: str
    """Of their payloads, in decoding order."""
    first: Fraction | None
    """Seconds of its earliest frame, or None if there is none."""
    last: Fraction | None


@dataclass(frozen=True, slots=True)
class VideoSurvey:
    """The video that is meant."""

    index: int
    codec: str
    width: int
    height: int
    layout: str
    """FFmpeg's name of the pixel format; that the range is full stands in `colour` alone."""
    colour: ColourTags
    """What a decoder sees: the stream's own tags, else the container's."""
    container_colour: ColourTags
    """What the container says; many players look only here."""
    pixel_aspect: Fraction
    rotation: int
    """Degrees counter-clockwise."""
    unit: Fraction
    """Seconds of one unit of time."""
    stamps: array[int]
    """Presentation times of all frames that are shown, in units, sorted."""
    untimed: int
    """Packets without a presentation time."""
    runs: tuple[Run, ...]
    last_duration: Fraction
    """Seconds for which the last frame is shown, by its packet; 0 if that does not say."""

    @property
    def packets(self) -> int:
        """Packets: one for each frame."""
        return len(self.stamps) + self.untimed

    def seconds(self, number: int) -> Fraction:
        """Return when the frame of that number, in order of time, is shown."""
        return self.stamps[number] * self.unit


@dataclass(frozen=True, slots=True)
class TrackSurvey:
    """A track beside the video."""

    index: int
    kind: str
    codec: str
    language: str
    cover: bool
    unit: Fraction
    stamps: array[int]
    """All times, in units, sorted."""
    packets: int
    sha256: str

    @property
    def first(self) -> Fraction | None:
        """Seconds of its earliest packet, or None."""
        return self.stamps[0] * self.unit if self.stamps else None

    @property
    def last(self) -> Fraction | None:
        """Seconds of its latest packet, or None."""
        return self.stamps[-1] * self.unit if self.stamps else None

    @property
    def label(self) -> str:
        """Words for it."""
        return " ".join(word for word in (f"track {self.index}", self.kind, self.codec, self.language) if word)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a file holds."""

    path: Path
    container: str
    """FFmpeg's name of the format it was read as."""
    video: VideoSurvey
    tracks: tuple[TrackSurvey, ...]
    """In the order of the streams, without those that a muxer makes of its own accord."""
    chapters: int
    missing_bytes: int
    """Bytes that the file lacks at its end by its own account."""
    damage: str
    """What went wrong while it was read, after which no more is known; empty if nothing did."""
    corrupt: tuple[Fraction | None, ...] = ()
    """Times in seconds of packets that the container marks as damaged."""


@dataclass
class _Tally:
    """A stream while it is being read."""

    stream: Stream
    begins: Sequence[int] = ()
    """Times in units at which the second and later runs begin."""
    stamps: array[int] = field(default_factory=lambda: array("q"))
    untimed: int = 0
    packets: int = 0
    last_duration: int = 0
    """In units, of the latest packet."""

    def __post_init__(self) -> None:
        runs = len(self.begins) + 1
        self.hashes = [hashlib.sha256() for _ in range(runs)]
        self.counts, self.bounds = [0] * runs, [(2**63, -(2**63))] * runs
        self._run, self._latest = 0, -(2**63)

    def add(self, packet: Packet[Stream]) -> None:
        stamp = packet.pts if packet.pts is not None or self.stream.type == "video" else packet.dts
        if stamp is None:
            self.untimed += 1  # it goes with the packet before it
        else:
            if not (packet.is_discard and self.stream.type == "video"):  # a decoder does not show it
                self.stamps.append(stamp)
            if stamp > self._latest:
                self._latest, self.last_duration = stamp, packet.duration or 0
            self._run = bisect_right(self.begins, stamp)
            low, high = self.bounds[self._run]
            self.bounds[self._run] = min(low, stamp), max(high, stamp)
        self.packets += 1
        self.counts[self._run] += 1
        self.hashes[self._run].update(memoryview(packet))

    def sorted_stamps(self) -> array[int]:
        in_order = all(a <= b for a, b in zip(self.stamps, memoryview(self.stamps)[1:], strict=False))
        return self.stamps if in_order else array("q", sorted(self.stamps))

    def runs(self, unit: Fraction) -> Iterator[Run]:
        for digest, count, (low, high) in zip(self.hashes, self.counts, self.bounds, strict=True):
            timed = low <= high
            yield Run(count, digest.hexdigest(), low * unit if timed else None, high * unit if timed else None)


def survey(path: Path, *, seams: Sequence[Fraction] = (), best: bool = False) -> Survey:
    """Read all packets of a file.

    Memory grows by eight bytes a packet: about 4 MB for two hours of video at 60 frames a second.

    Args:
        path: The file.
        seams: Seconds at which a new run of video begins, rising; the packets of each are hashed together.
        best: Take the video that a player would choose, as `VideoReader` does for a source; else the first, where our
            files have it.

    Raises:
        DecodeError: If it cannot be opened or holds no video. What goes wrong later is noted in the survey.
    """
    with reading(path), open_file(path) as container:
        missing = missing_bytes(path, container)
        video = _video(path, container, best=best)
        tallies = {
            stream.index: _Tally(stream, _units(seams, stream) if stream is video else ())
            for stream in container.streams
            if not is_made_by_muxer(stream)
        }
        corrupt, damage = _read(path, container, tallies)
        tracks = tuple(_track(tally) for tally in tallies.values() if tally.stream is not video)
        chapters = len(container.chapters())
        name = container.format.name
        found = _describe(path, video, tallies[video.index])
    return Survey(path, name, found, tracks, chapters, missing, damage, corrupt)


def manifest_text(path: Path) -> str | None:
    """Return the manifest in a file, or None if there is none.

    Raises:
        DecodeError: If the file cannot be read, or the manifest is cut off.
    """
    return postscript.read(path)


def _video(path: Path, container: InputContainer, *, best: bool) -> VideoStream:
    videos = [stream for stream in container.streams.video if not is_cover(stream)]
    if not videos:
        raise no_video(path, sorted({stream.type for stream in container.streams}))
    chosen = container.streams.best("video") if best else None
    return chosen if isinstance(chosen, VideoStream) and chosen in videos else videos[0]


def _units(seams: Sequence[Fraction], stream: Stream) -> list[int]:
    return [stamp_of(seam, stream.time_base or Fraction(1)) for seam in seams]


def _read(path: Path, container: InputContainer, tallies: dict[int, _Tally]) -> tuple[tuple[Fraction | None, ...], str]:
    corrupt: list[Fraction | None] = []
    packets = container.demux([tally.stream for tally in tallies.values()])
    try:
        while True:
            with reading(path):
                packet = next(packets, None)
            if packet is None:
                return tuple(corrupt), ""
            tally = tallies[packet.stream.index]
            if not packet.size or _fills_gap(tally.stream, packet):
                continue
            if packet.is_corrupt:
                corrupt.append(None if packet.pts is None else packet.pts * packet.time_base)
            tally.add(packet)
    except DecodeError as error:
        return tuple(corrupt), error.message


def _fills_gap(stream: Stream, packet: Packet[Stream]) -> bool:
    """Whether a packet is what an MP4 file has between two subtitles: the muxer writes these itself."""
    return stream.type == "subtitle" and packet.size == 2 and bytes(packet) == _EMPTY_MOV_TEXT


def _describe(path: Path, stream: VideoStream, tally: _Tally) -> VideoSurvey:
    context: VideoCodecContext | None = stream.codec_context
    if context is None:
        raise DecodeError(f"cannot read {path}: no decoder for its video", "it was damaged, or made by another tool")
    unit = stream.time_base or Fraction(1)
    aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1)
    container_colour = _container_colour(path, stream.index)
    frame = _first_frame(path, stream.index)
    return VideoSurvey(
        index=stream.index,
        codec=_codec(context),
        width=context.width,
        height=context.height,
        layout=(context.pix_fmt or "").replace("yuvj", "yuv"),
        colour=container_colour if frame is None else _tags(frame),
        container_colour=container_colour,
        pixel_aspect=aspect,
        rotation=0 if frame is None else frame.rotation,
        unit=unit,
        stamps=tally.sorted_stamps(),
        untimed=tally.untimed,
        runs=tuple(tally.runs(unit)),
        last_duration=tally.last_duration * unit,
    )


def _track(tally: _Tally) -> TrackSurvey:
    stream = tally.stream
    language = stream.metadata.get("language", "")
    return TrackSurvey(
        index=stream.index,
        kind=stream.type,
        codec=_codec(stream.codec_context),
        language="" if language == "und" else language,
        cover=is_cover(stream),
        unit=stream.time_base or Fraction(1),
        stamps=tally.sorted_stamps(),
        packets=tally.packets,
        sha256=next(tally.runs(Fraction(1))).sha256,
    )


def _codec(context: CodecContext | None) -> str:
    return "" if context is None else context.codec.canonical_name


def _tags(tagged: VideoCodecContext | VideoFrame) -> ColourTags:
    return ColourTags(
        int(tagged.colorspace),
        int(tagged.color_primaries),
        int(tagged.color_trc),
        int(tagged.color_range) == _FULL_RANGE,
    )


def _container_colour(path: Path, index: int) -> ColourTags:
    """Return the container's own tags: with no decoder allowed, none can put the stream's in their place."""
    options = {"codec_whitelist": "none", "protocol_whitelist": "file"}
    with reading(path), av.open(f"file:{path}", metadata_errors="replace", options=options) as bare:
        stream = bare.streams[index]
        assert isinstance(stream, VideoStream)
        context: VideoCodecContext | None = stream.codec_context
        return ColourTags(2, 2, 2, False) if context is None else _tags(context)


def _first_frame(path: Path, index: int) -> VideoFrame | None:
    """Return the first frame: rotation and the stream's own colour tags show only there."""
    try:
        with reading(path), open_file(path) as container:
            stream = container.streams[index]
            assert isinstance(stream, VideoStream)
            return next(container.decode(stream), None)
    except DecodeError:
        return None  # that it cannot be decoded is for the decode check to say
