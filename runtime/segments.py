"""Makes the segments of an output: encodes, proves, names and records them, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from fastrestore.config import EncodeOptions
from fastrestore.errors import EncodeError
from fastrestore.files import part_path, sync_names
from fastrestore.runtime.handed import Finished
from fastrestore.runtime.journal import Done, Record
from fastrestore.runtime.media.segment import Encoded, SegmentWriter, prove_segment
from fastrestore.runtime.media.stamps import Stamps
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.media.writer import SegmentFile
from fastrestore.runtime.report import StageClock
from fastrestore.runtime.timeline import SegmentStart
from fastrestore.runtime.work import Mark
from fastrestore.runtime.workfolder import WorkFolder, file_sha256


@dataclass(frozen=True, slots=True)
class Recipe:
    """How segments are made."""

    track: VideoTrack
    encode: EncodeOptions
    shift: Fraction
    """Seconds of the source that become 0 in the output."""
    decode: bool = True
    """Whether every segment is decoded to prove it."""
    on_card: bool = False
    """Whether the encoder is handed frames on a card."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What lies behind a point between two segments."""

    next: SegmentStart | None
    """The segment after it, or None at the end of the film."""
    source_end: int
    """Number of the first source frame after it."""
    sequential: bool
    totals: Mapping[str, int]
    """Counts of the source from the beginning of the film."""
    warnings: tuple[str, ...] = ()
    """What was noticed of the source from the beginning of the film."""
    treated: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """What was done to source frames since the point before, by shot."""
    between: str = ""
    """Which output frames since the point before lie between two source frames, as a `FrameSet`."""
    made: Mapping[str, int] | None = None
    """Counts of what was done since the point before."""


class SegmentMaker:
    """Turns finished frames into segments on the disk.

    A segment is proved in a thread of its own while the next one is encoded, and only then gets its name and its line
    in the journal: first the content is on the disk, then the name, then the line. Use it in a `with` statement.

    Args:
        work: Where they go.
        record: What is there already.
        recipe: How they are made.
        clock: Counts the time.
    """

    def __init__(self, work: WorkFolder, record: Record, recipe: Recipe, clock: StageClock) -> None:
        self._work, self._record, self._recipe, self._clock = work, record, recipe, clock
        self._proving = ThreadPoolExecutor(1, thread_name_prefix="fastrestore-verify")
        self._pending: Future[None] | None = None
        self._number = len(record.done)
        self._source_begin = record.done[-1].source_end if record.done else 0
        self._after = record.done[-1].stamps.last if record.done else None

    def make(
        self,
        frames: Iterator[tuple[Finished, Mark | None]],
        passed: Callable[[Mark | None], Passed],
        on_frame: Callable[[], object],
    ) -> None:
        """Make the segments that are missing, up to the next one that is there already.

        Args:
            frames: Finished frames; the first of each segment with its mark.
            passed: Says what lies before a mark; None asks for the end of the film.
            on_frame: Called after every frame.

        Raises:
            FastRestoreError: Whatever the frames fail with.
            EncodeError: If a segment cannot be written, or is not what was encoded.
        """
        writer: SegmentWriter | None = None
        try:
            for frame, mark in frames:
                if mark is not None:
                    if writer is not None:
                        self._close(writer, passed(mark))
                        if self._number in self._record.ahead:
                            break
                    writer = self._open()  # and the last one's encoder is let go of
                assert writer is not None, "the first frame begins a segment"
                with self._clock.busy("encode"):
                    writer.write(replace(frame, pts=frame.pts - self._recipe.shift))
                on_frame()
            else:
                if writer is None:
                    writer = self._open()  # its `finish` says that there is nothing to encode
                self._close(writer, passed(None))
            self._wait()
        finally:
            if writer is not None:
                writer.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._proving.shutdown(wait=True, cancel_futures=True)

    def _open(self) -> SegmentWriter:
        part = part_path(self._work.segment(self._number))
        with writing(part):
            part.unlink(missing_ok=True)  # it may be a link, which FFmpeg would follow
        recipe = self._recipe
        return SegmentWriter(part, recipe.track, recipe.encode, after=self._after, on_card=recipe.on_card)

    def _close(self, writer: SegmentWriter, passed: Passed) -> None:
        with self._clock.busy("encode"):
            encoded = writer.finish()
        self._wait()
        path = self._work.segment(self._number)
        self._pending = self._proving.submit(self._settle, path, encoded, self._source_begin, passed)
        self._number += 1
        self._source_begin, self._after = passed.source_end, encoded.stamps.last

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()

    def _settle(self, path: Path, encoded: Encoded, source_begin: int, passed: Passed) -> None:
        part = part_path(path)
        with self._clock.busy("verify"):
            proved = prove(part, encoded, self._recipe)
        put_on_record(self._work, self._record, part, proved.done(path.name, source_begin, passed))


@dataclass(frozen=True, slots=True)
class Proved:
    """A segment's file that holds what was encoded."""

    bytes: int
    sha256: str
    payload_sha256: str
    reorder: int
    stamps: Stamps

    def done(self, name: str, source_begin: int, passed: Passed) -> Done:
        """Return what is to be recorded of it.

        Args:
            name: Of its file.
            source_begin: Number of its first source frame.
            passed: What lies behind its end.
        """
        return Done(
            name=name,
            bytes=self.bytes,
            sha256=self.sha256,
            payload_sha256=self.payload_sha256,
            reorder=self.reorder,
            stamps=self.stamps,
            source_begin=source_begin,
            source_end=passed.source_end,
            next=passed.next,
            sequential=passed.sequential,
            totals=passed.totals,
            warnings=passed.warnings,
            treated=passed.treated,
            made=passed.made,
            between=passed.between,
        )


def prove(part: Path, encoded: Encoded, recipe: Recipe) -> Proved:
    """Read a segment's file back and hold it against what was encoded.

    Raises:
        EncodeError: If it cannot be read, or differs.
    """
    proof = prove_segment(part, recipe.track, encoded, decode=recipe.decode)
    sha256 = file_sha256(part)
    with writing(part):
        return Proved(part.stat().st_size, sha256, proof.payload_sha256, proof.reorder, encoded.stamps)


def put_on_record(work: WorkFolder, record: Record, part: Path, done: Done) -> None:
    """Give a proved segment, whose content is on the disk, its name, and then its line in the journal.

    Raises:
        EncodeError: If either cannot be written.
    """
    with writing(work.path / done.name):
        part.replace(work.path / done.name)
    sync_names(work.path)
    work.journal.append(done)
    record.add(done)


def whole_segments(work: WorkFolder, record: Record) -> list[Done]:
    """Return the recorded segments that are on the disk as they were recorded."""
    recorded = (*record.done, *record.ahead.values())
    return [done for done in recorded if _is_whole(work.path / done.name, done)]


def _is_whole(path: Path, done: Done) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    try:
        return path.stat().st_size == done.bytes and file_sha256(path) == done.sha256
    except (EncodeError, OSError):  # where the disk fails to read it, it must be made anew
        return False


def segment_files(work: WorkFolder, record: Record) -> list[SegmentFile]:
    """Return the recorded segments as files to be joined."""
    return [SegmentFile(work.path / d.name, d.stamps, d.payload_sha256, d.reorder) for d in record.done]
