"""A segment: a run of frames that is encoded by itself into a file of its own, and proved by reading it back."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Self

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastrestore.config import EncodeOptions
from fastrestore.errors import EncodeError
from fastrestore.files import sync
from fastrestore.frames import Frame
from fastrestore.runtime.handed import Finished, HandedFrame
from fastrestore.runtime.media import pixels
from fastrestore.runtime.media.card_frames import CardFrames, forgetting
from fastrestore.runtime.media.encoders import find_encoder
from fastrestore.runtime.media.payload import as_muxed
from fastrestore.runtime.media.stamps import Stamps, Ticks
from fastrestore.runtime.media.stream import add_video, encodable, open_encoder, starting
from fastrestore.runtime.media.thumbnails import Thumbnail, apart, samples_per_pixel, thumbnail
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.media.translate import reading, writing

_GOOD_SHARE = 0.6
_GOOD_APART, _BAD_APART, _NOISE = 2.0, 16.0, 40.0
"""Mean differences of thumbnails, in 8-bit levels, that coding does not make. Measured: up to `_GOOD_SHARE` of the
worst quality setting 0.5 on films, at the worst one 9; on noise also 16 over the root of the samples per pixel."""
_FORMAT = "nut"
"""The container of segments: it keeps every packet of every codec as the encoder made it, at exact times."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What went into a segment."""

    stamps: Stamps
    thumbnails: tuple[Thumbnail, ...]
    payload_sha256: str
    """Of the packets as the encoder gave them, as the finished file will hold them."""
    apart: float
    """How far a decoded picture's thumbnail may lie from the one that went in, in 8-bit levels."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was read back of a segment."""

    payload_sha256: str
    """Of its packets in decoding order, as the finished file will hold them."""
    reorder: int
    """Frames by which decoding runs ahead of showing."""


class SegmentWriter:
    """Encodes frames into a file that begins at 0 with a key frame, whenever in the film they are shown.

    Nothing that was encoded before has any influence: the same frames always give the same file.

    Pictures on a card are the encoder's until it lets go of them; once the file is finished or given up, it has let go
    of all. The encoder then starts with the first of them, which it learns from what card it is.

    Args:
        path: File to write; overwritten.
        track: The video.
        options: Encoder settings.
        after: The last timestamp before this segment, in the track's ticks.
        on_card: Whether frames are handed over on a card.

    Raises:
        EncodeError: If the file cannot be written or the encoder does not start.
    """

    def __init__(
        self,
        path: Path,
        track: VideoTrack,
        options: EncodeOptions,
        *,
        after: int | None = None,
        on_card: bool = False,
    ) -> None:
        self._path, self._track, self._options = path, track, options
        self._ticks = Ticks(track.time_base, after)
        self._stamps: list[int] = []
        self._durations: dict[int, int] = {}
        self._last_duration = 0
        self._thumbnails: list[Thumbnail] = []
        self._payload = hashlib.sha256()
        self._on_card, self._card_frames = on_card, CardFrames()
        self._stream: VideoStream | None = None
        with writing(path):
            self._output: OutputContainer | None = av.open(f"file:{path}", "w", format=_FORMAT)
        try:
            with writing(path):
                self._stream = add_video(self._output, track, options)
                if not on_card:
                    open_encoder(self._stream, track, options)
                    self._output.start_encoding()
        except BaseException:
            self.abort()
            raise

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return len(self._stamps)

    def write(self, frame: Finished) -> None:
        """Encode one frame. Its `pts` must be later than the last one's.

        Raises:
            EncodeError: If the encoder does not start, or encoding or writing fails.
        """
        base = self._track.time_base
        stamp = self._ticks.at(frame.pts)
        self._stamps.append(stamp)
        self._last_duration = round(frame.duration / base)
        self._durations[stamp - self._stamps[0]] = self._last_duration
        luma = frame.picture.look if isinstance(frame, HandedFrame) else frame.picture.planes[0]
        self._thumbnails.append(thumbnail(luma, frame.picture.format.bits))
        with forgetting():
            self._encode(frame, stamp - self._stamps[0])

    def finish(self) -> Encoded:
        """Drain the encoder, write the trailer, and put the file's content on the disk.

        Raises:
            EncodeError: If any of it fails, or no frame was written.
        """
        assert self._output is not None and self._stream is not None
        if not self._stamps:
            raise EncodeError(f"cannot write {self._path}: there was no frame to encode", "check `--start` and `--end`")
        with writing(self._path), forgetting():
            self._mux(self._stream.encode(None))
            self._output.close()
            self._output = self._stream = None
            sync(self._path)
        stamps = Stamps.of(self._stamps, self._last_duration)
        return Encoded(stamps, tuple(self._thumbnails), self._payload.hexdigest(), self._tolerance())

    def abort(self) -> None:
        """Give up: close everything and leave whatever is there. Fine to call twice or after `finish`."""
        output, self._output, stream, self._stream = self._output, None, self._stream, None
        if output is not None:
            # The run is failing already, with an error that says why.
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                output.close()
        if stream is not None and self._on_card and stream.codec_context.is_open:
            # An encoder that is done with a frame in a thread of its own tells Python so; it must not be waited for by
            # whoever keeps Python from running, as PyAV does where it destroys one.
            with contextlib.suppress(av.error.FFmpegError):
                stream.encode(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    def _tolerance(self) -> float:
        encoder, quality = find_encoder(self._options), self._options.crf
        quality = encoder.crf if quality is None else quality
        good = quality is None or quality <= _GOOD_SHARE * encoder.worst_crf
        size = self._track.size
        noise = _NOISE / math.sqrt(samples_per_pixel(size.height, size.width))
        return (_GOOD_APART if good else _BAD_APART) + noise

    def _encode(self, frame: Finished, stamp: int) -> None:
        picture = self._encodable(frame)
        picture.time_base, picture.pts, picture.pict_type = self._track.time_base, stamp, 0
        packets = self._encoded(picture)
        with writing(self._path):
            self._mux(packets)

    def _encodable(self, frame: Finished) -> VideoFrame:
        """Return a frame as the encoder takes it."""
        assert self._stream is not None
        if isinstance(frame, Frame):
            return encodable(pixels.frame_from_picture(frame.picture), self._stream)
        with writing(self._path):
            picture = self._card_frames.frame(frame.picture)
        if not self._stream.codec_context.is_open:
            self._stream.codec_context.pix_fmt = picture.format.name
        return picture

    def _encoded(self, picture: VideoFrame) -> list[Packet[VideoStream]]:
        assert self._stream is not None
        if self._stream.codec_context.is_open:
            with writing(self._path):
                return self._stream.encode(picture)
        with starting(self._track, self._options, "`--media host`"):
            return self._stream.encode(picture)

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._output is not None and self._stream is not None
        for packet in packets:
            # Encoders make one up from the nominal rate, which is wrong where the rate varies.
            if packet.pts is not None and packet.time_base == self._track.time_base:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
            if len(self._stamps) < 3:
                packet.dts = packet.pts  # x265 leaves it undefined where fewer frames come than it reorders
            self._payload.update(as_muxed(self._stream.codec_context.codec.canonical_name, bytes(packet)))
            self._output.mux_one(packet)


def prove_segment(path: Path, track: VideoTrack, encoded: Encoded, *, decode: bool = True) -> Proof:
    """Read a segment back: every packet and its time, and, if asked, every picture.

    Raises:
        EncodeError: If anything differs from what went in.
    """
    with reading(path), av.open(f"file:{path}", metadata_errors="replace") as container:
        packets = _Packets(container)
        if decode:
            with contextlib.closing(packets.frames()) as frames:
                problem = _compare(frames, encoded, track)
        else:
            problem = packets.skim()
        problem = problem or packets.compare(encoded.stamps, track.time_base)
        if not problem and packets.payload.hexdigest() != encoded.payload_sha256:
            problem = "its packets have changed on the way to the disk"
    if problem:
        raise EncodeError(
            f"segment {path.name} does not hold what was encoded: {problem}", "run the command again; check the disk"
        )
    return Proof(packets.payload.hexdigest(), packets.reorder)


class _Packets:
    """The packets of a segment's video, noted as they pass."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._codec = self._stream.codec_context.codec.canonical_name
        self.payload = hashlib.sha256()
        self._stamps: list[int] = []

    def skim(self) -> str:
        """Read all packets, decode nothing."""
        for packet in self._noted():
            del packet
        return ""

    def frames(self) -> Generator[VideoFrame, None, None]:
        """Read all packets and yield their frames."""
        for packet in chain(self._noted(), [None]):
            for frame in self._stream.codec_context.decode(packet):
                assert isinstance(frame, VideoFrame)
                yield frame

    def _noted(self) -> Iterator[Packet[VideoStream]]:
        for packet in self._container.demux(self._stream):
            if packet.size:
                self.payload.update(as_muxed(self._codec, bytes(packet)))
                self._stamps.append(packet.pts or 0)
                yield packet

    @property
    def reorder(self) -> int:
        """Frames by which decoding runs ahead of showing."""
        shown = {number: rank for rank, number in enumerate(self._order())}
        return max(decoded - shown[decoded] for decoded in shown)

    def _order(self) -> list[int]:
        """Return the packets' numbers in the order they are shown."""
        return sorted(range(len(self._stamps)), key=lambda number: (self._stamps[number], number))

    def compare(self, wanted: Stamps, base: Fraction) -> str:
        """Return how the times differ from those wanted, or an empty string."""
        if len(self._stamps) != len(wanted):
            return f"{len(self._stamps)} frames instead of {len(wanted)}"
        unit, first = self._stream.time_base or Fraction(1), min(self._stamps)
        for stamp, meant in zip(sorted(self._stamps), wanted, strict=True):
            if (stamp - first) * unit != (meant - wanted.first) * base:
                return f"a frame {float((stamp - first) * unit):.6f} s after the first"
        return ""


def _compare(frames: Iterator[VideoFrame], encoded: Encoded, track: VideoTrack) -> str:
    wanted, count = encoded.thumbnails, 0
    for count, frame in enumerate(frames, 1):
        if frame.is_corrupt:
            return f"frame {count} is damaged"
        if (frame.width, frame.height) != (track.size.width, track.size.height):
            return f"frame {count} is {frame.width}x{frame.height}"
        if count <= len(wanted) and apart(_seen(frame), wanted[count - 1]) > encoded.apart:
            return f"frame {count} shows another picture"
    return "" if count == len(wanted) else f"{count} pictures instead of {len(wanted)}"


def _seen(frame: VideoFrame) -> Thumbnail:
    bits = frame.format.components[0].bits
    return thumbnail(pixels.samples(frame.planes[0], bits), bits)
