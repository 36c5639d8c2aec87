"""Looks through a source without restoring it, and says where every segment of the output begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from fastrestore.kernels.ops import Ops
from fastrestore.runtime.journal import Record
from fastrestore.runtime.making import Making, passed_by, start_of_missing
from fastrestore.runtime.media.stamps import Stamps, Ticks
from fastrestore.runtime.segments import Passed
from fastrestore.runtime.timeline import SegmentStart, Timeline
from fastrestore.runtime.treatments.treating import Treating
from fastrestore.runtime.treatments.treatment import Film


@dataclass(frozen=True, slots=True)
class Stretch:
    """A segment before it is made: all that is known of it from the source alone."""

    number: int
    """Of the segment in the film, from 0."""
    start: SegmentStart
    sequential: bool
    """Whether the source must be read from its beginning to get to it: it had faults before."""
    after: int | None
    """The last timestamp before it, in the track's ticks."""
    stamps: Stamps
    """Those of its frames."""
    passed: Passed
    """What lies behind its end."""


def scan(
    making: Making, record: Record, film: Film | None, ops: Ops, halted: Callable[[], bool] = lambda: False
) -> Iterator[Stretch]:
    """Yield the segments from the first missing one to the film's end, those on record beyond it too.

    Only luma statistics are computed. What is not yet known of a segment when it begins is known when the next one
    does, so each is yielded then.

    Args:
        making: What is made.
        record: What is there already.
        film: What was found when the film was looked over, if it was: where its shots begin.
        ops: Pixel kernels.
        halted: Whether to end early; asked often.

    Raises:
        JobError: If the source is not what it was.
        DecodeError: If it cannot be read.
    """
    seen = None if film is None else Treating(film, ())
    last = record.done[-1] if record.done else None
    sequential, after = (last.sequential, last.stamps.last) if last else (False, None)
    with making.entered(record, seen, again=False) as entered:
        timeline = Timeline(entered.frames, ops, making.plan.rate, making.rules, start_of_missing(record))
        gathered: _Gathered | None = None
        number = len(record.done)
        for interval in timeline:
            if halted():
                return
            if interval.start is not None:
                passed = passed_by(interval.start, timeline.stats, entered.reader, sequential=sequential)
                if gathered is not None:
                    stretch = gathered.stretch(passed)
                    yield stretch
                    number, after, sequential = number + 1, stretch.stamps.last, passed.sequential
                gathered = _Gathered(making, number, interval.start, after, sequential=sequential)
            assert gathered is not None, "the first interval begins a segment"
            for instant in interval.instants:
                gathered.add(instant.pts - making.shift, instant.duration)
        if gathered is not None:
            yield gathered.stretch(passed_by(None, timeline.stats, entered.reader, sequential=sequential))


class _Gathered:
    """A segment while it is passed through."""

    def __init__(
        self, making: Making, number: int, start: SegmentStart, after: int | None, *, sequential: bool
    ) -> None:
        self._number, self._start, self._after, self._sequential = number, start, after, sequential
        self._base = making.track.time_base
        self._ticks = Ticks(self._base, after)
        self._stamps: list[int] = []
        self._last_duration = 0

    def add(self, pts: Fraction, duration: Fraction) -> None:
        self._stamps.append(self._ticks.at(pts))
        self._last_duration = round(duration / self._base)

    def stretch(self, passed: Passed) -> Stretch:
        stamps = Stamps.of(self._stamps, self._last_duration)
        return Stretch(self._number, self._start, self._sequential, self._after, stamps, passed)
