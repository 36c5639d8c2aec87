"""Reads a source at one segment after another: straight on where they follow each other, from its place otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from fastrestore.errors import JobError
from fastrestore.frames import Frame
from fastrestore.runtime.source import Source
from fastrestore.runtime.timeline import SegmentStart
from fastrestore.runtime.treatments.treating import Treating

_WORTH_SKIPPING = 300
"""So many frames are rather read past than sought: finding a place takes opening the file and decoding from a key
frame before it."""


class Reading:
    """The frames of a film from any segment's beginning on.

    Args:
        source: The film's file.
        treating: What is done to frames before they are restored, if anything.
    """

    def __init__(self, source: Source, treating: Treating | None) -> None:
        self._source, self._treating = source, treating
        self._open = ExitStack()
        self._frames: Iterator[Frame] | None = None
        self._last: tuple[int, Frame] | None = None
        self._sequential = False

    def at(self, start: SegmentStart, *, sequential: bool) -> Iterator[Frame]:
        """Yield the frames from a segment's first on. What was yielded before must not be used any more.

        Args:
            start: Where the segment begins.
            sequential: Whether it must be reached by reading all that is before it.

        Raises:
            JobError: If its first frame is another one: the source is not what it was.
            DecodeError: If the source cannot be read.
        """
        index = start.opening.index
        if not self._is_ahead(index, sequential=sequential):
            self._enter(start, sequential=sequential)
        while self._last is not None and self._last[0] < index and self._next() is not None:
            pass
        if self._last is None:
            self._next()
        last = self._last
        if last is None or last[0] != index or not _is(last[1], start):
            raise JobError(
                f"frame {index} of {self._path} is another one now than when the run began",
                "leave the source alone, and run the command again with `--restart`",
            )
        return self._from(last[1])

    def close(self) -> None:
        """Close the file. Twice is fine."""
        self._frames = self._last = None
        self._open.close()

    @property
    def _path(self) -> str:
        return "the source" if self._source.reader is None else str(self._source.reader.path)

    def _is_ahead(self, index: int, *, sequential: bool) -> bool:
        """Whether a frame is reached best by reading on."""
        if self._last is None or self._last[0] > index or (sequential and not self._sequential):
            return False
        return sequential or index - self._last[0] <= _WORTH_SKIPPING

    def _enter(self, start: SegmentStart, *, sequential: bool) -> None:
        self.close()
        first = start.opening.index == 0
        source = self._open.enter_context(self._source.again())
        opening = None if first else start.opening
        entered = self._open.enter_context(source.entered(opening, self._treating, sequential=sequential))
        self._frames, self._begin = entered.frames, start.opening.index
        # Reading from the beginning is reading in line, whatever for.
        self._sequential = sequential or first

    _begin = 0

    def _next(self) -> Frame | None:
        assert self._frames is not None
        frame = next(self._frames, None)
        if frame is None:
            self._frames = iter(())
            return None
        self._last = (self._begin if self._last is None else self._last[0] + 1), frame
        return frame

    def _from(self, first: Frame) -> Iterator[Frame]:
        yield first
        while (frame := self._next()) is not None:
            yield frame


def _is(frame: Frame, start: SegmentStart) -> bool:
    opening = start.opening
    if opening.pts is None:  # the film's first
        return True
    return frame.pts == opening.pts and (opening.crc32 is None or frame.untreated.crc32 == opening.crc32)
