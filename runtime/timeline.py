"""From source frames to output instants: cuts, held duplicates, and which two frames each instant lies between.

All arithmetic on time is rational. The work is a chain of small generators, each with bounded lookahead, so that a
source of any length and without a known frame count can be read once:

    frames -> observe (cuts, repeats) -> hold (anchors) -> retime (even motion) -> intervals (instants)

From `hold` on the chain is made anew for every segment, so that a segment depends on its `SegmentStart` alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain

from fastrestore.config import Spans
from fastrestore.frames import EXACT_S, Frame, Picture
from fastrestore.runtime.cadence import Beat, Hold, retime
from fastrestore.runtime.observation import Comparer, Observed, Observer, Opening

LONGEST_HOLD_FRAMES = 4
"""A picture repeated more often than this is meant to stand still; each of its frames is kept as it is."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A source frame that motion is found between."""

    index: int
    """Number of the frame in the source, from 0."""
    picture: Picture
    time: Fraction
    """Seconds; for held frames the instant at which even motion would show it."""
    cut_before: bool = False


@dataclass(frozen=True, slots=True)
class Instant:
    """One frame of the output."""

    index: int
    pts: Fraction
    """Seconds."""
    duration: Fraction
    """Seconds."""
    t: float | None
    """Where it lies between the interval's frames, in (0, 1); None shows the left frame itself."""


@dataclass(frozen=True, slots=True)
class SegmentStart:
    """Where a segment begins, and what stands fixed by then."""

    opening: Opening
    origin: Fraction
    """Seconds of the film's first frame."""
    instant: int = 0
    """Number of its first output frame."""
    cuts: int = 0
    """Cuts up to and including its own beginning."""
    held_frames: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """Two neighbouring source frames and the output instants from the left one up to the right one."""

    left: Anchor
    right: Anchor | None
    """None where nothing may be interpolated: before a cut, and after the last frame."""
    instants: tuple[Instant, ...]
    start: SegmentStart | None = None
    """Set where a segment of the output begins with this interval."""


@dataclass
class TimelineStats:
    """What the timeline saw; complete once it has been read to its end."""

    source_frames: int = 0
    cuts: int = 0
    held_frames: int = 0
    output_frames: int = 0
    first_pts: Fraction | None = None
    end: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """How the instants of a film are chosen."""

    keep_holds: bool = False
    """Treat repeated frames like any other."""
    end: Fraction | None = None
    """Seconds at which the output ends at the latest."""
    near: Fraction = EXACT_S
    """An instant this close to a source frame is that frame itself, seconds; see `StreamInfo.near`."""
    spans: Spans = field(default_factory=Spans)
    """How long segments are."""


class Timeline:
    """The output instants of a source, in order. Iterate once.

    Args:
        frames: The source, timestamps rising.
        comparer: Tells how pictures differ.
        rate: Output frames a second, or None for the source's own instants.
        rules: How instants are chosen.
        start: The segment that `frames` begin with; None for the first.
        one_segment: Whether to end where the next segment begins.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        comparer: Comparer,
        rate: Fraction | None,
        rules: Rules | None = None,
        start: SegmentStart | None = None,
        *,
        one_segment: bool = False,
    ) -> None:
        self._frames, self._comparer, self._rate = frames, comparer, rate
        self._rules, self._start, self._one_segment = rules or Rules(), start, one_segment
        self._opening = start.opening if start else Opening()
        self.stats = TimelineStats()
        if start is not None:
            self.stats = TimelineStats(start.opening.index, start.cuts, start.held_frames, start.instant, start.origin)

    def __iter__(self) -> Iterator[Interval]:
        counted = self._count(self._frames)
        intervals = self._at_source_instants(counted) if self._rate is None else self._at_rate(counted, self._rate)
        start: SegmentStart | None = None
        for interval in intervals:
            start = interval.start or start
            if not interval.instants:
                continue  # two source frames between two instants; a segment begins with the next one that has any
            self.stats.output_frames += len(interval.instants)
            yield replace(interval, start=start)
            start = None

    def _count(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        previous: Frame | None = None
        for frame in frames:
            # The last frame's duration is only known from its own header, or from the one before it.
            step = self._opening.step if previous is None else frame.pts - previous.pts
            self.stats.end = frame.pts + (frame.duration or step or Fraction(1, 25))
            if self.stats.first_pts is None:
                self.stats.first_pts = frame.pts
            if self._rules.end is not None:
                self.stats.end = min(self.stats.end, self._rules.end)
            self.stats.source_frames += 1
            previous = frame
            yield frame

    def _segment(self, opening: Opening, instant: int) -> SegmentStart:
        assert self.stats.first_pts is not None
        return SegmentStart(opening, self.stats.first_pts, instant, self.stats.cuts, self.stats.held_frames)

    def _at_source_instants(self, frames: Iterator[Frame]) -> Iterator[Interval]:
        waiting: Frame | None = None
        start: SegmentStart | None = None
        begun = Fraction(0)
        for index, frame in enumerate(frames, self._opening.index):
            if waiting is not None:
                yield _alone(index - 1, waiting, frame.pts - waiting.pts, start)
                start = None
            if waiting is None:
                begun, start = frame.pts, self._start or self._segment(self._opening, index)
            elif frame.pts - begun >= self._rules.spans.most:
                step = frame.pts - waiting.pts
                opening = Opening(index, frame.pts, frame.cut_before, step, crc32=frame.untreated.crc32)
                begun, start = frame.pts, self._segment(opening, index)
                if self._one_segment:
                    return
            waiting = frame
        if waiting is not None and self.stats.end is not None:
            yield _alone(self.stats.source_frames - 1, waiting, self.stats.end - waiting.pts, start)

    def _at_rate(self, frames: Iterator[Frame], rate: Fraction) -> Iterator[Interval]:
        index = self.stats.output_frames
        observer = Observer(self._comparer, self._rules.spans, self._opening)
        for own in _Segments(observer.observe(frames)):
            start: SegmentStart | None = self._segment(own.opening, index)
            left: Anchor | None = None
            for right in self._anchors(own):
                self.stats.cuts += int(right.cut_before and left is not None)
                if left is not None:
                    interval = self._between(left, right, right.time, index, rate)
                    index += len(interval.instants)
                    yield replace(interval, start=start)
                    start = None
                left = right
            if own.next is None and left is not None and self.stats.end is not None:
                yield replace(self._between(left, None, self.stats.end, index, rate), start=start)
            if self._one_segment:
                return

    def _anchors(self, own: _Segment) -> Iterator[Anchor]:
        """Yield a segment's anchors, and last the first one of the segment after it: motion goes on to there."""
        held = hold(own, self.stats, keep=self._rules.keep_holds)
        for anchor in retime(chain(held, own.beyond())):
            after = own.next
            # The next segment knows nothing of this one's pattern: there its first picture keeps its own time.
            yield anchor if after is None or anchor.index < after.index else replace(anchor, time=after.frame.pts)

    def _between(self, left: Anchor, right: Anchor | None, until: Fraction, index: int, rate: Fraction) -> Interval:
        """Return the interval whose instants are those of `t0 + k/rate` in `[left.time, until)`, from k = index on."""
        origin = self.stats.first_pts
        assert origin is not None
        # An instant that all but reaches the right frame is that frame, hence the right interval's.
        beyond = until if right is None else until - self._rules.near
        stop = math.ceil((beyond - origin) * rate)
        if right is not None and right.cut_before:
            right = None
        instants = []
        for k in range(index, max(index, stop)):
            pts = origin + k / rate
            alone = right is None or pts - left.time <= self._rules.near
            t = None if alone or right is None else float((pts - left.time) / (right.time - left.time))
            instants.append(Instant(k, pts, 1 / rate, t))
        return Interval(left, right if any(i.t is not None for i in instants) else None, tuple(instants))


class _Segments:
    """An observed source, segment by segment; each must be read to its end before the next."""

    def __init__(self, observed: Iterator[Observed]) -> None:
        self._observed = observed

    def __iter__(self) -> Iterator[_Segment]:
        first = next(self._observed, None)
        while first is not None:
            segment = _Segment(first, self._observed)
            yield segment
            first = segment.next


class _Segment:
    """The frames of one segment; once they are read, `next` is the frame that opens the one after it."""

    def __init__(self, first: Observed, observed: Iterator[Observed]) -> None:
        assert first.opening is not None
        self.opening = first.opening
        self.next: Observed | None = None
        self._first, self._observed = first, observed

    def __iter__(self) -> Iterator[Observed]:
        yield self._first
        for item in self._observed:
            if item.opening is not None:
                self.next = item
                return
            yield item

    def beyond(self) -> Iterator[Hold[Anchor]]:
        """Yield the frame after the last, if there is one; to be asked once the frames are read."""
        if self.next is not None:
            yield Hold(_anchor(self.next), Beat(self.next.frame.pts, 1, moving=not self.next.cut_before))


def hold(observed: Iterable[Observed], stats: TimelineStats, *, keep: bool) -> Iterator[Hold[Anchor]]:
    """Turn frames into anchors; a picture held for a few frames becomes one anchor with its count.

    A picture held for longer stands still on purpose, and every one of its frames stays where it is. That is known
    after `LONGEST_HOLD_FRAMES`, so no more than that is ever kept back.
    """
    group: list[Observed] = []
    still = False
    for item in observed:
        if not item.repeats or keep:
            yield from _held(group, stats)
            group, still = [item], False
        elif still:
            yield _standing(item)
        else:
            group.append(item)
            if len(group) > LONGEST_HOLD_FRAMES:
                yield from (_standing(each) for each in group)
                group, still = [], True
    yield from _held(group, stats)


def _held(group: list[Observed], stats: TimelineStats) -> Iterator[Hold[Anchor]]:
    if group:
        stats.held_frames += len(group) - 1
        beat = Beat(group[0].frame.pts, len(group), moving=not group[0].cut_before)
        yield Hold(_anchor(group[0]), beat)


def _standing(item: Observed) -> Hold[Anchor]:
    return Hold(_anchor(item), Beat(item.frame.pts, 1, moving=False))


def _anchor(item: Observed) -> Anchor:
    return Anchor(item.index, item.frame.picture, item.frame.pts, item.cut_before)


def _alone(index: int, frame: Frame, duration: Fraction, start: SegmentStart | None) -> Interval:
    anchor = Anchor(index, frame.picture, frame.pts, frame.cut_before)
    return Interval(anchor, None, (Instant(index, frame.pts, duration, None),), start)
