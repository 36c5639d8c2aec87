"""Where a conversion's frames come from, and how its reading is taken up at a place in the middle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction

from fastrestore.frames import Frame, StreamInfo
from fastrestore.runtime.media.faults import FaultCount
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.resume import Entered, frames_from
from fastrestore.runtime.treatments.treating import Treating
from fastrestore.runtime.turn import Turn, in_turn


@dataclass(frozen=True, slots=True)
class Source:
    """Where frames come from."""

    frames: Iterable[Frame]
    info: StreamInfo
    first_pts: Fraction
    reader: VideoReader | None = None
    """The file whose other tracks go along, or None for frames that come from elsewhere."""
    turn: Turn | None = None
    """When it may be read, where several runs go side by side; None at any time."""

    @contextmanager
    def entered(self, opening: Opening | None, treating: Treating | None, *, sequential: bool) -> Iterator[Entered]:
        """Read from an opening on, or from the beginning.

        Args:
            opening: The first frame wanted; None for the source's first. Only files can be entered elsewhere.
            treating: What is done to the frames before they are restored, if anything.
            sequential: Do not seek; see `frames_from`.

        Raises:
            JobError: If the frame is not found: the source is not what it was.
            DecodeError: If the source cannot be read.
        """
        first = 0 if opening is None else opening.index
        begin = opening if treating is None else treating.place_before(first)
        with self._read(begin, sequential=sequential) as entered:
            frames = entered.frames if self.turn is None else in_turn(entered.frames, self.turn)
            if treating is None:
                yield Entered(entered.reader, frames)
            else:
                at = 0 if begin is None else begin.index
                yield Entered(entered.reader, treating.frames(frames, at, first))

    @contextmanager
    def _read(self, begin: Opening | None, *, sequential: bool) -> Iterator[Entered]:
        if begin is None or begin.index == 0 or self.reader is None:
            yield Entered(self.reader, iter(self.frames))
            return
        with frames_from(self.reader, self._open, begin, sequential=sequential) as entered:
            yield entered

    @contextmanager
    def visited(self, opening: Opening | None, treating: Treating | None = None) -> Iterator[Iterator[Frame]]:
        """Read from an opening on without using up the source; only files can be.

        Raises:
            JobError: If the frame is not found: the source is not what it was.
            DecodeError: If the source cannot be read.
        """
        with self.again() as reader:
            other = replace(self, frames=reader, reader=reader, turn=None)
            with other.entered(opening, treating, sequential=False) as entered:
                yield entered.frames

    def again(self) -> VideoReader:
        """Return the file, opened once more at the beginning of its range.

        Raises:
            DecodeError: If it cannot be read.
        """
        return self._open(Opening())

    def _open(self, opening: Opening) -> VideoReader:
        reader = self.reader
        assert reader is not None, "only files are opened again"
        return VideoReader(
            reader.path,
            start=reader.start if opening.pts is None else opening.pts,
            end=reader.end,
            on_error=reader.notes.faults.policy,
            before=FaultCount(opening.index),  # none was faulty, or there would have been no seeking
            watchdog=reader.watchdog,
        )
