"""The timestamps of a run of frames: whole numbers of a clock's ticks, kept short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, chain, groupby, pairwise, repeat


class Ticks:
    """Turns instants into ticks that rise, one frame after the other.

    Args:
        base: Seconds of a tick.
        after: The last tick before the first frame, or None.
    """

    def __init__(self, base: Fraction, after: int | None) -> None:
        self._base, self._last = base, after

    def at(self, pts: Fraction) -> int:
        """Return the tick of the next frame, which is shown at `pts` seconds."""
        stamp = round(pts / self._base)
        if self._last is not None:
            stamp = max(stamp, self._last + 1)  # repaired times may lie closer together than the clock ticks
        self._last = stamp
        return stamp


@dataclass(frozen=True, slots=True)
class Stamps:
    """Timestamps of frames that follow each other, in ticks, in the order they are shown."""

    first: int
    gaps: tuple[tuple[int, int], ...]
    """Runs of equal distances from one frame to the next: ticks and how often. A steady rate is one run."""
    last_duration: int
    """Ticks that the last frame is shown."""

    @classmethod
    def of(cls, stamps: list[int], last_duration: int) -> Stamps:
        """Return the stamps of a list that rises; at least one."""
        runs = groupby(b - a for a, b in pairwise(stamps))
        return cls.of_gaps(stamps[0], ((gap, sum(1 for _ in group)) for gap, group in runs), last_duration)

    @classmethod
    def of_gaps(cls, first: int, gaps: Iterable[tuple[int, int]], last_duration: int) -> Stamps:
        """Return stamps from runs of equal distances.

        Equal runs are one object: where a clock does not divide the frame rate (42, 42, 41 ms, and so on for two hours)
        a run takes eight bytes instead of eighty.
        """
        known: dict[tuple[int, int], tuple[int, int]] = {}
        return cls(first, tuple(known.setdefault(run, run) for run in gaps), last_duration)

    def __len__(self) -> int:
        return 1 + sum(count for _, count in self.gaps)

    def __iter__(self) -> Iterator[int]:
        return accumulate(chain.from_iterable(repeat(gap, count) for gap, count in self.gaps), initial=self.first)

    @property
    def last(self) -> int:
        """The last timestamp."""
        return self.first + sum(gap * count for gap, count in self.gaps)

    def durations(self) -> Iterator[int]:
        """Yield how long each frame is shown, in ticks."""
        yield from chain.from_iterable(repeat(gap, count) for gap, count in self.gaps)
        yield self.last_duration
