"""Reads the frames of a video file: exact samples, exact timestamps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastrestore.errors import DecodeError, UsageError
from fastrestore.frames import Frame, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.media import pixels
from fastrestore.runtime.media.translate import no_video, reading

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
        if self.path.is_dir():
            raise DecodeError(f"cannot read {self.path}: it is a folder", "give a video file")
        with reading(self.path):
            self._container: InputContainer | None = av.open(str(self.path), metadata_errors="replace")
        try:
            self._stream = self._choose_stream(self._container)
            self._frames = self._decode()
            self._first = next(self._frames, None)
            if self._first is None:
                raise DecodeError(f"cannot read {self.path}: {self._nothing_found()}", "try to play the file")
            self.info = self._inspect(self._first)
            self._colour = self.info.colour
        except BaseException:
            self.close()
            raise

    def _nothing_found(self) -> str:
        return "it holds no video frame" + (" in the chosen range" if self.start or self.end else "")

    @property
    def stream_index(self) -> int:
        """Index of the video stream in the file."""
        return self._stream.index

    @property
    def first_pts(self) -> Fraction:
        """Seconds at which the first frame is shown."""
        assert self._first is not None
        return self._seconds(self._first) or Fraction(0)

    @property
    def display_matrix(self) -> tuple[int, ...] | None:
        """The display matrix of the first frame, or None."""
        assert self._first is not None
        return pixels.display_matrix_of(pixels.side_data(self._first))

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames with strictly rising timestamps; missing and backward ones are repaired and counted.

        Raises:
            DecodeError: If a packet cannot be decoded, a frame changes size or layout, or the file ends early.
        """
        if self._container is None:
            raise DecodeError(f"cannot read {self.path}: it has been closed", "open it again")
        previous: Fraction | None = None
        step = 1 / (self.info.rate or Fraction(25))
        count = 0
        for raw in self._with_first():
            pts = self._seconds(raw)
            if pts is None or (previous is not None and pts <= previous):
                pts = Fraction(0) if previous is None else previous + step
                self.notes.repaired_timestamps += 1
            self.notes.corrupt_frames += int(raw.is_corrupt)
            self._check_same(raw, pts)
            duration = raw.duration * self._time_base if raw.duration else Fraction(0)
            yield Frame(pixels.picture_from_frame(raw, self._colour), pts, duration)
            if previous is not None:
                step = pts - previous
            previous = pts
            count += 1
        self._check_complete(count, previous)

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def _time_base(self) -> Fraction:
        return self._stream.time_base or Fraction(1, 90000)

    def _choose_stream(self, container: InputContainer) -> VideoStream:
        videos = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
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

    def _decode(self) -> Iterator[VideoFrame]:
        assert self._container is not None
        container, stream = self._container, self._stream
        if self.start:
            with reading(self.path, " while seeking"):
                container.seek(int(self.start / self._time_base), stream=stream, backward=True)
        packets = container.demux(stream)
        while True:
            with reading(self.path, self._position()):
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            if packet is None:
                return
            for frame in frames:
                assert isinstance(frame, VideoFrame)
                at = self._seconds(frame)
                self._last_seen = at
                if at is not None and self.start is not None and at < self.start:
                    continue
                if at is not None and self.end is not None and at >= self.end:
                    return
                yield frame

    _last_seen: Fraction | None = None

    def _position(self) -> str:
        return "" if self._last_seen is None else f" after {float(self._last_seen):.3f} s"

    def _with_first(self) -> Iterator[VideoFrame]:
        assert self._first is not None
        yield self._first
        yield from self._frames

    def _seconds(self, frame: VideoFrame) -> Fraction | None:
        return None if frame.pts is None else frame.pts * (frame.time_base or self._time_base)

    def _inspect(self, frame: VideoFrame) -> StreamInfo:
        stream = self._stream
        data = pixels.side_data(frame)
        layout = pixels.layout_for(frame.format)
        self.notes.warnings += [f"{text} will be lost" for key, text in _DROPPED_SIDE_DATA.items() if key in data]
        if len(frame.format.components) in (2, 4):
            self.notes.warnings.append("transparency will be lost")
        if frame.interlaced_frame:
            self.notes.warnings.append("the source is interlaced: its fields are treated as whole frames")
        rate = stream.average_rate or stream.guessed_rate
        return StreamInfo(
            size=Size(frame.width, frame.height),
            format=layout,
            colour=pixels.colour_of(frame, stream.codec_context.name),
            rate=rate if rate and rate > 0 else None,
            frame_count=stream.frames or None,
            duration=self._duration(),
            pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
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

    def _check_complete(self, count: int, last: Fraction | None) -> None:
        """A file that holds fewer frames than its header promises was cut off: say so rather than end early."""
        promised, length = self.info.frame_count, self.info.duration
        if self.start or self.end or promised is None or length is None or last is None:
            return
        missing_s = length - (last - self.first_pts)
        if count < promised - 1 and missing_s > 2 * length / promised + Fraction(1, 2):
            raise DecodeError(
                f"{self.path} ends early: {count} of {promised} frames, {float(missing_s):.2f} s are missing",
                f"the file was cut off; convert what is there with `--end {float(last):.3f}`",
            )
