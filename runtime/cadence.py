"""Evens out motion that was held: animation on twos, 16 -> 24 pull-up, any repeating pattern of held frames.

A film of 16 frames a second printed at 24 holds every second picture twice: A A B C C D. Its pictures were taken at
equal distances, but are first shown at 0, 2, 3, 5. Interpolating between those instants would make the motion jerk
8 times a second. Where such a pattern repeats, the pictures are put back at equal distances, never later than they
were first shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from fastrestore.runtime.timeline import Anchor

LONGEST_PERIOD = 5
"""Longest pattern looked for, in pictures; 24 in 30 repeats after 4, 25 in 30 after 5."""
LOOKAHEAD = 2 * LONGEST_PERIOD
_SAME = Fraction(1, 8)
"""Two distances are the same if they differ by less than this share of the shorter: millisecond timestamps do."""

A = TypeVar("A", bound="Anchor")


@dataclass(frozen=True, slots=True)
class Beat:
    """When a picture is first shown and how long it is held."""

    first: Fraction
    """Seconds at which it is first shown."""
    count: int
    """Frames it is shown for."""
    moving: bool
    """Whether motion from the one before may be evened: not after a cut, not while the film stands still."""


@dataclass(frozen=True, slots=True)
class Hold(Generic[A]):
    """A picture and how long it is held."""

    anchor: A
    beat: Beat


def retime(holds: Iterable[Hold[A]]) -> Iterator[A]:
    """Yield anchors with their even times. Looks ahead by `LOOKAHEAD` pictures; of past ones only the beats are kept.

    Times rise strictly and are never later than the picture was first shown; the first picture of a film and of a
    shot keeps its own, so that nothing is seen before it is there.
    """
    past: deque[Beat] = deque(maxlen=LOOKAHEAD)
    ahead: deque[Hold[A]] = deque()
    source = iter(holds)
    last: Fraction | None = None
    while True:
        while len(ahead) <= LOOKAHEAD and (item := next(source, None)) is not None:
            ahead.append(item)
        if not ahead:
            return
        beats = [*past, *(hold.beat for hold in ahead)]
        time = even_time(beats, len(past))
        here = ahead.popleft()
        if last is not None and time <= last:
            time = here.beat.first
        last = time
        past.append(here.beat)
        yield replace(here.anchor, time=time)


def even_time(beats: list[Beat], here: int) -> Fraction:
    """Return the even time of `beats[here]`, or its own where no pattern repeats around it."""
    start, stop = _moving_stretch(beats, here)
    firsts = [b.first for b in beats[start:stop]]
    counts = [b.count for b in beats[start:stop]]
    position = here - start
    for period in range(1, LONGEST_PERIOD + 1):
        begin = _repeating(firsts, counts, position, period)
        if begin is not None:
            return max(firsts[0], _spread(firsts, begin, position, period))
    return beats[here].first


def _moving_stretch(beats: list[Beat], here: int) -> tuple[int, int]:
    """Return the range around `here` within one shot in which everything moves."""
    start = here
    while start > 0 and beats[start].moving:
        start -= 1
    stop = here + 1
    while stop < len(beats) and beats[stop].moving:
        stop += 1
    return start, stop


def _repeating(firsts: list[Fraction], counts: list[int], position: int, period: int) -> int | None:
    """Return where two equal periods of distances begin that include `position`, or None."""
    steps = [b - a for a, b in pairwise(firsts)]
    for begin in range(max(0, position - 2 * period), position + 1):
        both = steps[begin : begin + 2 * period]
        if len(both) < 2 * period:
            return None
        held = any(count > 1 for count in counts[begin : begin + period])
        same = all(abs(a - b) <= _SAME * min(a, b) for a, b in zip(both, both[period:], strict=False))
        if held and same:
            return begin
    return None


def _spread(firsts: list[Fraction], begin: int, position: int, period: int) -> Fraction:
    """Return the time of a picture when a pattern's pictures are spread evenly, none later than first shown."""
    step = (firsts[begin + period] - firsts[begin]) / period
    late = [firsts[begin + i] - i * step for i in range(period)]
    lag = (firsts[position] - (position - begin) * step) - min(late)
    return firsts[position] - max(Fraction(0), lag)
