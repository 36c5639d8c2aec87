"""The timestamps of a run of frames: whole numbers of a clock's ticks, kept short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, chain, groupby, pairwise, repeat


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
        return cls(stamps[0], tuple((gap, sum(1 for _ in group)) for gap, group in runs), last_duration)

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
