"""Soft telecine: film frames kept as they are, with flags that have a player show every second one for three fields.

Decoders turn the flags into timestamps, 3 and 2 fields apart by turns, in which even motion jerks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

from fastrestore.frames import StreamInfo

_VIDEO_RATES: Final = tuple(Fraction(r) for r in ("30000/1001", "25", "30"))
"""Frames a second that film is flagged up to."""
_SHARES: Final = (Fraction(5, 2), Fraction(25, 12))
"""Fields that a film frame is shown for: 24 a second in 60 or in 50."""
_LEAST_FRAMES, _LEAST_LONG = 5, 2
LATEST_FIELDS: Final = Fraction(5, 4)
"""How many fields more than another a frame of a run may be late: one, and what timestamps are off."""
_STEADY: Final = Fraction(9, 10)
"""Share of the frames that must follow each other by two or three fields of a rate for it to be the container's."""
_OFF: Final = Fraction(1, 10)
"""By so much of a field, or the clock's unit, timestamps may be off."""


@dataclass(frozen=True, slots=True)
class SoftRun:
    """Frames that are film, shown for fields by turns."""

    begin: int
    end: int
    share: Fraction
    """Fields that a frame is shown for on average."""


def container_rate(pts: Sequence[Fraction], info: StreamInfo) -> Fraction | None:
    """Return the rate whose fields all timestamps are whole numbers of, frames a second, or None."""
    for rate in (info.rate, *_VIDEO_RATES):
        if rate is None:
            continue
        fields = field_steps(pts, rate, info.time_base)
        if sum(each in (2, 3) for each in fields) >= _STEADY * len(fields):
            return rate
    return None


def field_steps(pts: Sequence[Fraction], rate: Fraction, time_base: Fraction) -> list[int | None]:
    """Return how many fields each frame is shown for, up to the one before the last; None where that is no number."""
    field = 1 / (2 * rate)
    off = max(time_base, _OFF * field)
    steps: list[int | None] = []
    for before, after in pairwise(pts):
        whole = round((after - before) / field)
        steps.append(whole if abs(after - before - whole * field) <= off else None)
    return steps


def soft_runs(pts: Sequence[Fraction], rate: Fraction | None, time_base: Fraction) -> tuple[SoftRun, ...]:
    """Return where frames are shown for two and three fields as film is.

    Args:
        pts: Seconds at which each frame is shown.
        rate: What `container_rate` returned.
        time_base: The unit of the timestamps, in seconds.
    """
    if rate is None:
        return ()
    steps = field_steps(pts, rate, time_base)
    runs: list[SoftRun] = []
    begin = 0
    while begin < len(steps):
        end, share = max((_reach(steps, begin, share), share) for share in _SHARES)
        if end - begin + 1 >= _LEAST_FRAMES and sum(each == 3 for each in steps[begin:end]) >= _LEAST_LONG:
            runs.append(SoftRun(begin, end + 1, share))
            begin = end + 1
        else:
            begin += 1
    return tuple(runs)


def _reach(steps: Sequence[int | None], begin: int, share: Fraction) -> int:
    """Return the last frame that follows `begin` at a share: all are shown within one field of even instants.

    Flags as they should be stay within half a field; the rest is for what an edit or the stream's end leaves.
    """
    late = least = most = Fraction(0)
    for number in range(begin, len(steps)):
        step = steps[number]
        if step not in (2, 3):
            return number
        late += step - share
        least, most = min(least, late), max(most, late)
        if most - least > 1:
            return number
    return len(steps)
