"""Reads the frames of a video file: exact samples, exact timestamps."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Self, TypeAlias

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastrestore.errors import DecodeError, UsageError
from fastrestore.frames import Frame, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.media import pixels
from fastrestore.runtime.media.tags import is_cover
from fastrestore.runtime.media.timestamps import repair
from fastrestore.runtime.media.translate import no_video, reading
from fastrestore.runtime.media.truncation import missing_bytes

_Stamped: TypeAlias = tuple[VideoFrame, Fraction, bool]
"""A decoded frame, its time in seconds, and whether that had to be repaired."""
_NO_VIDEO_FORMATS = {"tty"}
"""What FFmpeg shows as moving letters, but nobody means as a film."""
_SEEK_MARGINS_S = (0, 2, 10, 60)
_DROPPED_SIDE_DATA = {
    "A53_CC": "closed captions inside the video frames",
    "DOVI_METADATA": "Dolby Vision metadata (it describes the old picture)",
    "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata (it describes the old picture)",
}


@dataclass
class SourceNotes:
    """What was noticed while reading, for the report."""

    repaired_timestamps: int = 0
    corrupt_frames: int = 0
    warnings: list[str] = field(default_factory=list)


class VideoReader:
    """A video file being read. Iterating yields every frame of the chosen video stream once, in order.

    Args:
        path: The file.
        start: Seconds from the start of the stream's own clock; earlier frames are left out.
        end: Seconds; frames at or after it are left out.

    Raises:
        DecodeError: If the file cannot be read or holds no video frame.
        UsageError: If the range is empty.
    """

    def __init__(self, path: str | Path, *, start: Fraction | None = None, end: Fraction | None = None) -> None:
        self.path = Path(path)
        self.start, self.end = start, end
        self.notes = SourceNotes()
        if start is not None and end is not None and end <= start:
            raise UsageError(
                f"the range from {float(start)} s to {float(end)} s is empty", "give `--end` after `--start`"
            )
        with reading(self.path):  # even asking for a file can fail: its name may be too long
            if self.path.is_dir():
                raise DecodeError(f"cannot read {self.path}: it is a folder", "give a video file")
        self._container: InputContainer | None = self._open()
        try:
            self._stream = self._choose_stream(self._container)
            self._index = self._stream.index
            self._missing_bytes = self._find_missing(self._container)
            self._frames = self._chosen()
            self._first = next(self._frames, None)
            if self._first is None:
                raise self._nothing_found()
            self._first_pts = self._first[1]
            self.info = self._inspect(self._first[0])
            self._colour = self.info.colour
            self._matrix = pixels.display_matrix_of(pixels.side_data(self._first[0]))
        except BaseException:
            self.close()
            raise

    _frames: Iterator[_Stamped] = iter(())
    _first: _Stamped | None = None
    _begun = False
    _reached_end = False
    _last_seen: Fraction | None = None

    @property
    def stream_index(self) -> int:
        """Index of the video stream in the file."""
        return self._index

    @property
    def first_pts(self) -> Fraction:
        """Seconds at which the first frame is shown."""
        return self._first_pts

    @property
    def display_matrix(self) -> tuple[int, ...] | None:
        """The display matrix of the first frame, or None."""
        return self._matrix

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames with strictly rising timestamps; missing and backward ones are repaired and counted.

        Raises:
            DecodeError: If a packet cannot be decoded, a frame changes size or layout, the file ends early, or the
                frames have been read already.
        """
        if self._container is None:
            raise DecodeError(f"cannot read {self.path}: it has been closed", "open it again")
        if self._begun:
            raise DecodeError(f"cannot read {self.path}: its frames have been read already", "open it again")
        assert self._first is not None
        self._begun = True
        return self._pictures(chain([self._first], self._frames))

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        # The generators go first: they hold packets of the container, and the decoder with its threads.
        if isinstance(self._frames, Generator):
            self._frames.close()
        self._frames = iter(())
        self._first = None
        if self._container is not None:
            self._container.close()
            self._container = None
        self.__dict__.pop("_stream", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self) -> InputContainer:
        with reading(self.path):
            container = av.open(str(self.path), metadata_errors="replace")
        if container.format.name in _NO_VIDEO_FORMATS:
            container.close()
            raise DecodeError(f"cannot read {self.path}: it is a text file", "give a video file")
        return container

    def _pictures(self, frames: Iterator[_Stamped]) -> Iterator[Frame]:
        count = 0
        pts = self.first_pts
        for raw, pts, repaired in frames:
            self._check_same(raw, pts)
            self.notes.repaired_timestamps += int(repaired)
            self.notes.corrupt_frames += int(raw.is_corrupt)
            duration = raw.duration * self._time_base if raw.duration else Fraction(0)
            yield Frame(pixels.picture_from_frame(raw, self._colour), pts, duration)
            count += 1
        if self._container is None:
            raise DecodeError(f"cannot read {self.path}: it was closed while being read", "keep it open")
        self._check_complete(count, pts)

    def _nothing_found(self) -> DecodeError:
        if self.start is None and self.end is None:
            return DecodeError(f"cannot read {self.path}: it holds no video frame", "try to play the file")
        begin = float((self._stream.start_time or 0) * self._time_base)
        message = f"cannot read {self.path}: it holds no video frame in the chosen range"
        return DecodeError(message, f"check `--start` and `--end`: the video's clock begins at {begin:.3f} s")

    @property
    def _time_base(self) -> Fraction:
        return self._stream.time_base or Fraction(1, 90000)

    @property
    def _rate(self) -> Fraction | None:
        """Return the steady rate, or None: the average alone would call a varying rate steady."""
        average, base = self._stream.average_rate, self._stream.base_rate
        if not average or not base:
            return average or self._stream.guessed_rate or None
        # The base rate is the finest the timestamps show: a whole multiple of a steady one (twice it for fields).
        ratio = base / average
        steady = ratio > Fraction(9, 10) and abs(ratio - round(ratio)) <= Fraction(2, 100) * ratio
        return average if steady else None

    def _choose_stream(self, container: InputContainer) -> VideoStream:
        videos = [s for s in container.streams.video if not is_cover(s)]
        if not videos:
            raise no_video(self.path, sorted({s.type for s in container.streams}))
        best = container.streams.best("video")
        stream = best if isinstance(best, VideoStream) and best in videos else videos[0]
        if stream.codec_context is None or stream.codec_context.width < 1:
            raise DecodeError(
                f"cannot read {self.path}: no decoder for its video", "convert it with another tool first"
            )
        stream.thread_type = "AUTO"
        return stream

    def _chosen(self) -> Iterator[_Stamped]:
        """Yield the frames of the chosen range."""
        step = 1 / (self._rate or Fraction(25))
        for raw, pts, repaired in repair(((f, self._seconds(f)) for f in self._decoded()), step):
            if self.start is not None and pts < self.start:
                continue
            if self.end is not None and pts >= self.end:
                self._reached_end = True
                return
            yield raw, pts, repaired

    def _decoded(self) -> Iterator[VideoFrame]:
        """Yield decoded frames from a key frame at or before the start of the range on.

        Seeking is a guess: many formats seek by decoding time, some by bytes, some not at all. Where it lands too
        late it is tried again from further back, at last from the beginning.
        """
        start = self.start
        for margin in _SEEK_MARGINS_S if start else ():
            assert start is not None
            frames = self._after_seek(max(Fraction(0), start - margin))
            # What comes before the first key frame refers to frames that were not decoded.
            key = next((frame for frame in frames if frame.key_frame), None)
            at = None if key is None else self._seconds(key)
            if key is not None and at is not None and at <= start:
                yield key
                yield from frames
                return
            self._reopen()
        yield from self._decode()

    def _after_seek(self, target: Fraction) -> Iterator[VideoFrame]:
        assert self._container is not None
        try:
            self._container.seek(int(target / self._time_base), stream=self._stream, backward=True)
        except (av.error.FFmpegError, OverflowError):
            return iter(())  # this format or file cannot seek, or not that far
        return self._decode()

    def _reopen(self) -> None:
        assert self._container is not None
        self._container.close()
        self._container = self._open()
        self._stream = self._choose_stream(self._container)

    def _decode(self) -> Iterator[VideoFrame]:
        assert self._container is not None
        packets = self._container.demux(self._stream)
        while True:
            with reading(self.path, self._position()):
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            if packet is None:
                return
            for frame in frames:
                assert isinstance(frame, VideoFrame)
                self._last_seen = self._seconds(frame)
                yield frame

    def _position(self) -> str:
        return "" if self._last_seen is None else f" after {float(self._last_seen):.3f} s"

    def _seconds(self, frame: VideoFrame) -> Fraction | None:
        return None if frame.pts is None else frame.pts * (frame.time_base or self._time_base)

    def _find_missing(self, container: InputContainer) -> int:
        """Return the bytes that are missing at the file's end; refuse the file if all of it is wanted."""
        with reading(self.path):
            missing = missing_bytes(self.path, container)
            size = self.path.stat().st_size
        if missing and self.end is None:
            share = Fraction(size, size + missing)
            until = f"{float((self._duration() or 0) * share):.1f}"
            raise DecodeError(
                f"{self.path} was cut off: {missing} of {size + missing} bytes are missing at its end",
                f"get the whole file, or convert what is there: try `--end {until}`",
            )
        return missing

    def _inspect(self, frame: VideoFrame) -> StreamInfo:
        stream = self._stream
        data = pixels.side_data(frame)
        layout = pixels.layout_for(frame.format)
        self.notes.warnings += [f"{text} will be lost" for key, text in _DROPPED_SIDE_DATA.items() if key in data]
        if len(frame.format.components) in (2, 4):
            self.notes.warnings.append("transparency will be lost")
        if frame.interlaced_frame:
            self.notes.warnings.append("the source is interlaced: its fields are treated as whole frames")
        return StreamInfo(
            size=Size(frame.width, frame.height),
            format=layout,
            colour=pixels.colour_of(frame, stream.codec_context.name),
            rate=self._rate,
            frame_count=stream.frames or None,
            duration=self._duration(),
            pixel_aspect=stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1),
            rotation=frame.rotation,
            interlaced=frame.interlaced_frame,
            time_base=self._time_base,
            hdr=pixels.hdr_of(data),
        )

    def _duration(self) -> Fraction | None:
        assert self._container is not None
        if self._stream.duration:
            return self._stream.duration * self._time_base
        return Fraction(self._container.duration, av.time_base) if self._container.duration else None

    def _check_same(self, frame: VideoFrame, pts: Fraction) -> None:
        found: Any = (frame.width, frame.height, pixels.layout_for(frame.format).name)
        wanted = (self.info.size.width, self.info.size.height, self.info.format.name)
        if found != wanted:
            raise DecodeError(
                f"{self.path} changes from {wanted[0]}x{wanted[1]} {wanted[2]} to {found[0]}x{found[1]} {found[2]} "
                f"at {float(pts):.3f} s",
                f"convert the parts separately: `--end {float(pts):.3f}` and `--start {float(pts):.3f}`",
            )

    def _check_complete(self, count: int, last: Fraction) -> None:
        """A file that holds less than its header promises was cut off: say so rather than end early."""
        if self._reached_end:
            return
        promised, length = self.info.frame_count, self.info.duration
        early = self._missing_bytes > 0
        if not self.start and promised is not None and length is not None:
            missing_s = length - (last - self.first_pts)
            early |= count < promised - 1 and missing_s > 2 * length / promised + Fraction(1, 2)
        if early:
            raise DecodeError(
                f"{self.path} ends early: it was cut off after {float(last):.3f} s",
                f"get the whole file, or convert what is there with `--end {float(last):.3f}`",
            )
