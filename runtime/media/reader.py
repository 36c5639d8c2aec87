"""Reads the frames of a video file: exact samples, exact timestamps, and none missing."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Self

import av
from av.video.frame import VideoFrame

from fastrestore.config import OnError
from fastrestore.errors import DecodeError, UsageError
from fastrestore.frames import Frame, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.media import limits, pixels
from fastrestore.runtime.media.decoding import StreamDecoder
from fastrestore.runtime.media.faults import FaultCount, FaultKind, FaultLog
from fastrestore.runtime.media.standins import Shown, StandIns
from fastrestore.runtime.media.timestamps import repair
from fastrestore.runtime.media.translate import reading
from fastrestore.runtime.media.truncation import missing_bytes, promised_end
from fastrestore.runtime.media.watchdog import Watchdog

_INTERLACED = "the source is interlaced: its fields are treated as whole frames"
_DROPPED_SIDE_DATA = {
    "A53_CC": "closed captions inside the video frames",
    "DOVI_METADATA": "Dolby Vision metadata (it describes the old picture)",
    "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata (it describes the old picture)",
}


@dataclass
class SourceNotes:
    """What was noticed while reading, for the report."""

    faults: FaultLog
    repaired_timestamps: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def corrupt_frames(self) -> int:
        """Frames that were decoded with errors and stood in for."""
        return self.faults.counts.get(FaultKind.CORRUPT, 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the first frame of a film tells of all."""

    info: StreamInfo
    matrix: tuple[int, ...] | None
    """The display matrix."""
    warnings: tuple[str, ...]


class VideoReader:
    """A video file being read. Iterating yields every frame of the chosen video stream once, in order.

    Args:
        path: The file.
        start: Seconds from the start of the stream's own clock; earlier frames are left out.
        end: Seconds; frames at or after it are left out.
        on_error: What to do about faults in the file; see `OnError`.
        before: Frames read and found faulty by a run that this one continues: the limit holds for both together.
        max_memory: Bytes that reading may need by the file's header, or None.
        watchdog: Watches over every call into FFmpeg; None does without.

    Raises:
        DecodeError: If the file cannot be read, holds no video frame, or is beyond the limits.
        UsageError: If the range is empty.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start: Fraction | None = None,
        end: Fraction | None = None,
        on_error: OnError = OnError.REPAIR,
        before: FaultCount = FaultCount(),  # noqa: B008 - it is frozen
        max_memory: int | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.path = Path(path)
        self.start, self.end = start, end
        self.notes = SourceNotes(FaultLog(self.path, on_error, before=before))
        if start is not None and end is not None and end <= start:
            raise UsageError(
                f"the range from {float(start)} s to {float(end)} s is empty", "give `--end` after `--start`"
            )
        self.watchdog = watchdog or Watchdog()
        self._decoder = self._open(max_memory)
        try:
            self._index = self._decoder.stream.index
            self._missing_bytes = self._find_missing()
            self._frames = self._chosen()
            self._first = next(self._frames, None)
            if self._first is None:
                raise self._nothing_found()
            self._first_pts = self._first.pts
            self.seen = self._inspect(self._first.frame)
            self.info, self._matrix = self.seen.info, self.seen.matrix
            self.notes.warnings += self.seen.warnings
            self.notes.faults.promised = self._promised()
        except BaseException:
            self.close()
            raise

    _frames: Iterator[Shown] = iter(())
    _first: Shown | None = None
    _begun = False
    _reached_end = False
    _fields_seen_to = False

    def again(self, start: Fraction | None = None, read: int = 0) -> VideoReader:
        """Return the same file, opened once more.

        Args:
            start: Seconds to begin at; None begins where this one does.
            read: Frames before that, none of which was found faulty.

        Raises:
            DecodeError: If it cannot be read.
        """
        other = VideoReader(
            self.path,
            start=self.start if start is None else start,
            end=self.end,
            on_error=self.notes.faults.policy,
            before=FaultCount(read),
            watchdog=self.watchdog,
        )
        if self._fields_seen_to:
            other.see_to_fields()
        return other

    def see_to_fields(self) -> None:
        """Say that whoever reads looks after the fields of frames: then nobody need be warned of them."""
        self._fields_seen_to = True
        self.notes.warnings[:] = [text for text in self.notes.warnings if text != _INTERLACED]

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
        """Yield frames with strictly rising timestamps; faults are mended and noted, or end the reading.

        Raises:
            DecodeError: If the file is faulty beyond what the policy allows, ends early, or its frames have been
                read already.
        """
        if self._decoder.closed:
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
        self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self, max_memory: int | None) -> StreamDecoder:
        return StreamDecoder(self.path, self.watchdog, max_memory)

    def _pictures(self, frames: Iterator[Shown]) -> Iterator[Frame]:
        first = previous = self.first_pts
        last_raw: VideoFrame | None = None
        picture: Picture | None = None
        for shown in frames:
            limits.check_times(self.path, first, previous, shown.pts)
            previous = shown.pts
            changed = False
            if picture is None or shown.frame is not last_raw:
                changed = not self._is_like(shown.frame)
                picture, last_raw = self._picture(shown.frame, changed=changed), shown.frame
            self._note(shown, changed=changed)
            duration = shown.frame.duration * self._decoder.time_base if shown.fault is None else Fraction(0)
            yield Frame(picture, shown.pts, duration)
        if self._decoder.closed:
            raise DecodeError(f"cannot read {self.path}: it was closed while being read", "keep it open")
        self._check_complete(previous)
        if self._stand_ins.refused_at_end and not self._reached_end:
            self.notes.faults.record(FaultKind.UNDECODABLE, previous, self._stand_ins.refused_at_end)
        self.notes.faults.finish()

    def _picture(self, raw: VideoFrame, *, changed: bool) -> Picture:
        """Return a frame's samples, in the film's size and layout even where the frame has another."""
        if changed:
            return pixels.converted(raw, self.info.size, self.info.format, self.info.colour)
        return pixels.picture_from_frame(raw, self.info.colour)

    def _is_like(self, raw: VideoFrame) -> bool:
        return pixels.is_like(raw, self.info.size, self.info.format, self.info.colour)

    def _note(self, shown: Shown, *, changed: bool) -> None:
        faults, raw, info = self.notes.faults, shown.frame, self.info
        faults.count_frame(good=shown.fault is None and not shown.backward and not changed)
        self.notes.repaired_timestamps += int(shown.repaired_time)
        if shown.refused:
            faults.record(FaultKind.UNDECODABLE, shown.pts, shown.refused)
        if shown.fault is not None:
            faults.record(shown.fault, shown.pts)
        if shown.backward:
            faults.record(FaultKind.BACKWARD, shown.pts)
        if changed:
            found = f"{raw.width}x{raw.height} {raw.format.name}, not {info.size} {info.format.name}"
            faults.record(FaultKind.CHANGED, shown.pts, detail=found)

    def _nothing_found(self) -> DecodeError:
        if self.start is None and self.end is None:
            return DecodeError(f"cannot read {self.path}: it holds no video frame", "try to play the file")
        begin = float((self._decoder.stream.start_time or 0) * self._decoder.time_base)
        message = f"cannot read {self.path}: it holds no video frame in the chosen range"
        return DecodeError(message, f"check `--start` and `--end`: the video's clock begins at {begin:.3f} s")

    def _chosen(self) -> Iterator[Shown]:
        """Yield the frames of the chosen range."""
        stamped = repair(((each, each.time) for each in self._decoder.frames(self.start)), self._decoder.step)
        self._stand_ins = stand_ins = StandIns(self._decoder, self._refuse_gap)
        for number, shown in enumerate(stand_ins.fill(stamped)):
            if number == 0 and stand_ins.left_out:
                self.notes.warnings.append(f"{stand_ins.left_out} frames before the first key frame are left out")
            if self.start is not None and shown.pts < self.start:
                continue
            if self.end is not None and shown.pts >= self.end:
                self._reached_end = True
                return
            yield shown

    def _refuse_gap(self, at: Fraction, frames: int) -> None:
        """Refuse a gap of more pictures than could ever be put up with, before they are stood in for."""
        if frames > limits.MOST_MISSING:
            raise DecodeError(
                f"{self.path} has no picture for {frames} frames after {float(at):.3f} s: wanted one in each",
                f"get an undamaged copy, or convert what is before: `--end {float(at) + 0.001:.3f}`",
            )

    def _promised(self) -> int | None:
        """Return how many frames the header promises for the chosen range, or None."""
        info = self.info
        if self.start is None and self.end is None and info.frame_count is not None:
            return info.frame_count
        if info.rate is None or (info.duration is None and self.end is None):
            return None
        until = min(t for t in (info.duration, self.end) if t is not None)
        return max(0, int((until - (self.start or 0)) * info.rate))

    def _find_missing(self) -> int:
        """Return the bytes that are missing at the file's end; refuse the file if all of it is wanted."""
        with reading(self.path):
            missing = missing_bytes(self.path, self._decoder.container)
            size = self.path.stat().st_size
        if missing and self.end is None:
            share = Fraction(size, size + missing)
            until = f"{float((self._duration() or 0) * share):.1f}"
            raise DecodeError(
                f"{self.path} was cut off: {missing} of {size + missing} bytes are missing at its end",
                f"get the whole file, or convert what is there: try `--end {until}`",
            )
        return missing

    def _inspect(self, frame: VideoFrame) -> Seen:
        stream = self._decoder.stream
        data = pixels.side_data(frame)
        layout = pixels.layout_for(frame.format)
        warnings = [f"{text} will be lost" for key, text in _DROPPED_SIDE_DATA.items() if key in data]
        if len(frame.format.components) in (2, 4):
            warnings.append("transparency will be lost")
        if frame.interlaced_frame:
            warnings.append(_INTERLACED)
        info = StreamInfo(
            size=Size(frame.width, frame.height),
            format=layout,
            colour=pixels.colour_of(frame, stream.codec_context.name),
            rate=self._decoder.rate,
            frame_count=stream.frames or None,
            duration=self._duration(),
            pixel_aspect=stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1),
            rotation=frame.rotation,
            interlaced=frame.interlaced_frame,
            time_base=self._decoder.time_base,
            hdr=pixels.hdr_of(data),
            codec=stream.codec_context.codec.canonical_name,
        )
        return Seen(info, pixels.display_matrix_of(data), tuple(warnings))

    def _duration(self) -> Fraction | None:
        decoder = self._decoder
        if decoder.stream.duration:
            return limits.believable_duration(decoder.stream.duration * decoder.time_base)
        whole = decoder.container.duration
        return limits.believable_duration(Fraction(whole, av.time_base)) if whole else None

    def _check_complete(self, last: Fraction) -> None:
        """A file that holds less than its header promises was cut off: say so rather than end early."""
        if self._reached_end:
            return
        if self._missing_bytes > 0 or self._ends_before_its_promise(last):
            raise DecodeError(
                f"{self.path} ends early: it was cut off after {float(last):.3f} s",
                f"get the whole file, or convert what is there with `--end {float(last):.3f}`",
            )

    def _ends_before_its_promise(self, last: Fraction) -> bool:
        promised, length, step = self.info.frame_count, self.info.duration, self._decoder.step
        slack = 3 * step if self.info.rate is not None else Fraction(1, 2) + 2 * step
        if (end := promised_end(self._decoder.stream)) is not None:
            return end - last > slack
        if self.start or promised is None or length is None:
            return False
        missing_s = length - (last - self.first_pts)
        # An edit list may hide some of the frames that are counted.
        return self.notes.faults.frames < promised - 1 and missing_s > 2 * length / promised + Fraction(1, 2)
