"""From source frames to output instants: cuts, held duplicates, and which two frames each instant lies between.

All arithmetic on time is rational. The work is a chain of small generators, each with bounded lookahead, so that a
source of any length and without a known frame count can be read once:

    frames -> observe (cuts, repeats) -> hold (anchors) -> retime (even motion) -> intervals (instants)
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from fastrestore.frames import EXACT_S, Frame, Picture
from fastrestore.kernels.ops import Difference, Ops
from fastrestore.runtime.cadence import Beat, Hold, retime

LONGEST_HOLD_FRAMES = 4
"""A picture repeated more often than this is meant to stand still; each of its frames is kept as it is."""
HELD_MEAN, HELD_PEAK_BLOCK = 0.5 / 255, 2.0 / 255
"""A repeat differs by no more than this from the picture it repeats: what coding leaves of an exact copy."""
HELD_SHARE = 0.2
"""And by no more than this share of what the film's moving frames differ by."""
CUT_CORRELATION = 0.55
"""Two frames that correlate less than this may be different shots."""
CUT_RATIO = 3.0
"""At a cut the frames differ at least so many times as much as the frames before it did."""
CUT_MEAN = 0.02
"""And by at least this share of white: below it there is only noise."""
_MEMORY = 8


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
class Interval:
    """Two neighbouring source frames and the output instants from the left one up to the right one."""

    left: Anchor
    right: Anchor | None
    """None where nothing may be interpolated: before a cut, and after the last frame."""
    instants: tuple[Instant, ...]


@dataclass
class TimelineStats:
    """What the timeline saw; complete once it has been read to its end."""

    source_frames: int = 0
    cuts: int = 0
    held_frames: int = 0
    output_frames: int = 0
    first_pts: Fraction | None = None
    end: Fraction | None = None


class Timeline:
    """The output instants of a source, in order. Iterate once.

    Args:
        frames: The source, timestamps rising.
        ops: Pixel kernels, for the statistics.
        rate: Output frames a second, or None for the source's own instants.
        keep_holds: Treat repeated frames like any other.
        end: Seconds at which the output ends at the latest, or None.
        near: An instant this close to a source frame is that frame itself, seconds; see `StreamInfo.near`.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        ops: Ops,
        rate: Fraction | None,
        *,
        keep_holds: bool = False,
        end: Fraction | None = None,
        near: Fraction = EXACT_S,
    ) -> None:
        self._near = near
        self._frames, self._ops, self._rate = frames, ops, rate
        self._keep_holds, self._end = keep_holds, end
        self.stats = TimelineStats()

    def __iter__(self) -> Iterator[Interval]:
        counted = self._count(self._frames)
        intervals = self._at_source_instants(counted) if self._rate is None else self._at_rate(counted, self._rate)
        for interval in intervals:
            self.stats.output_frames += len(interval.instants)
            yield interval

    def _count(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        previous: Frame | None = None
        for frame in frames:
            if previous is not None:
                # The last frame's duration is only known from its own header, or from the one before it.
                self.stats.end = frame.pts + (frame.duration or frame.pts - previous.pts)
            else:
                self.stats.first_pts = frame.pts
                self.stats.end = frame.pts + (frame.duration or Fraction(1, 25))
            if self._end is not None:
                self.stats.end = min(self.stats.end, self._end)
            self.stats.source_frames += 1
            previous = frame
            yield frame

    def _at_source_instants(self, frames: Iterator[Frame]) -> Iterator[Interval]:
        waiting: Frame | None = None
        index = 0
        for frame in frames:
            if waiting is not None:
                yield _alone(index, waiting, frame.pts - waiting.pts)
                index += 1
            waiting = frame
        if waiting is not None and self.stats.end is not None:
            yield _alone(index, waiting, self.stats.end - waiting.pts)

    def _at_rate(self, frames: Iterator[Frame], rate: Fraction) -> Iterator[Interval]:
        observed = observe(frames, self._ops)
        anchors = retime(hold(observed, self.stats, keep=self._keep_holds))
        left: Anchor | None = None
        index = 0
        for right in anchors:
            self.stats.cuts += int(right.cut_before)
            if left is not None:
                interval = self._between(left, right, right.time, index, rate)
                index += len(interval.instants)
                yield interval
            left = right
        if left is not None and self.stats.end is not None:
            yield self._between(left, None, self.stats.end, index, rate)

    def _between(self, left: Anchor, right: Anchor | None, until: Fraction, index: int, rate: Fraction) -> Interval:
        """Return the interval whose instants are those of `t0 + k/rate` in `[left.time, until)`, from k = index on."""
        origin = self.stats.first_pts
        assert origin is not None
        # An instant that all but reaches the right frame is that frame, hence the right interval's.
        stop = (
            math.ceil((until - self._near - origin) * rate) if right is not None else math.ceil((until - origin) * rate)
        )
        if right is not None and right.cut_before:
            right = None
        instants = []
        for k in range(index, max(index, stop)):
            pts = origin + k / rate
            alone = right is None or pts - left.time <= self._near
            t = None if alone or right is None else float((pts - left.time) / (right.time - left.time))
            instants.append(Instant(k, pts, 1 / rate, t))
        return Interval(left, right if any(i.t is not None for i in instants) else None, tuple(instants))


@dataclass(frozen=True, slots=True)
class Observed:
    """A frame and how it follows the one before."""

    frame: Frame
    index: int
    cut_before: bool
    repeats: bool
    """Whether it repeats the last picture that was not a repeat itself."""


def observe(frames: Iterable[Frame], ops: Ops) -> Iterator[Observed]:
    """Find cuts and repeated pictures, from luma statistics that are blind to flicker.

    A frame that says `cut_before` itself is believed.
    """
    recent: deque[Difference] = deque(maxlen=_MEMORY)
    previous = shown = None
    for index, frame in enumerate(frames):
        luma = ops.luma8(frame.picture)
        if previous is None or shown is None:
            cut = repeats = False
        elif frame.cut_before:
            cut, repeats = True, False
        else:
            step = ops.difference(previous, luma)
            repeats = _is_repeat(step if shown is previous else ops.difference(shown, luma), recent)
            # Right after a cut nothing is known of the new shot's motion yet: a busy shot must not be cut to pieces.
            cut = not repeats and (index == 1 or bool(recent)) and _is_cut(step, recent)
            if cut:
                recent.clear()
            elif not repeats:
                recent.append(step)
        previous = luma
        if not repeats:
            shown = luma
        yield Observed(frame, index, cut, repeats)


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


def _alone(index: int, frame: Frame, duration: Fraction) -> Interval:
    anchor = Anchor(index, frame.picture, frame.pts, frame.cut_before)
    return Interval(anchor, None, (Instant(index, frame.pts, duration, None),))


def _is_repeat(difference: Difference, recent: Iterable[Difference]) -> bool:
    if difference.mean > HELD_MEAN or difference.peak_block > HELD_PEAK_BLOCK:
        return False
    moving = sorted(d.mean for d in recent)
    return not moving or difference.mean <= HELD_SHARE * moving[len(moving) // 2]


def _is_cut(step: Difference, recent: Iterable[Difference]) -> bool:
    if step.correlation >= CUT_CORRELATION or step.mean < CUT_MEAN:
        return False
    before = [1 - d.correlation for d in recent]
    return not before or 1 - step.correlation >= CUT_RATIO * max(before)
