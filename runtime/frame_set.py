"""A set of frames by their numbers, told in few words: which frames are synthesised follows a short pattern.

From 24 to 60 frames a second four of five frames are new, from cut to cut. An hour of that is one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

LONGEST_PERIOD: Final = 64
"""Frames of the longest pattern that is looked for: 24000/1001 to 60 frames a second repeats after thousands, and is
told as runs of a shorter one."""
MOST_FRAMES: Final = 1 << 31
"""Larger numbers mean a damaged text."""
_WORD: Final = re.compile(r"(\d{1,10})(?:-(\d{1,10})(?:/(\d{1,3}):(\d{1,3}(?:\.\d{1,3})*))?)?")
_REPEATS: Final = 3  # of a pattern, at least, before it is told as one


@dataclass(frozen=True, slots=True)
class _Run:
    """Frames from `begin` up to `end`: those at `places` in each `period` of them."""

    begin: int
    end: int
    period: int = 1
    places: tuple[int, ...] = (0,)

    def __len__(self) -> int:
        whole, rest = divmod(self.end - self.begin, self.period)
        return whole * len(self.places) + sum(place < rest for place in self.places)

    def __contains__(self, number: int) -> bool:
        return self.begin <= number < self.end and (number - self.begin) % self.period in self.places

    def __iter__(self) -> Iterator[int]:
        for base in range(self.begin, self.end, self.period):
            yield from (base + place for place in self.places if base + place < self.end)

    def __str__(self) -> str:
        if self.end - self.begin == 1:
            return str(self.begin)
        pattern = "" if self.period == 1 else f"/{self.period}:{'.'.join(map(str, self.places))}"
        return f"{self.begin}-{self.end - 1}{pattern}"


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Numbers of frames, rising.

    As text it is words with spaces between: `7` is a frame, `3-9` a range with both its ends, and `100-199/5:1.2.3.4`
    those frames of the range that are 1 to 4 places after the first of each five.
    """

    _runs: tuple[_Run, ...] = ()

    @classmethod
    def from_flags(cls, flags: Iterable[bool], first: int = 0) -> Self:
        """Return the frames that a flag is set for.

        Args:
            flags: One for each frame; of a long film those of a segment at a time.
            first: Number of the frame that the first flag is for.
        """
        listed = np.fromiter(flags, np.bool_)
        return cls(tuple(_runs(listed, first)))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `str` has written; nothing in it is trusted.

        Raises:
            ValueError: If it is damaged.
        """
        runs: list[_Run] = []
        for word in text.split():
            match = _WORD.fullmatch(word)
            if match is None:
                raise ValueError(f"`{word[:40]}` names no frames")
            begin, last = int(match[1]), int(match[2] or match[1])
            period = int(match[3] or 1)
            places = tuple(map(int, match[4].split("."))) if match[4] else (0,)
            rising = list(places) == sorted(set(places)) and places[-1] < period
            if last < begin or last >= MOST_FRAMES or not rising or (runs and begin < runs[-1].end):
                raise ValueError(f"`{word[:40]}` names no frames, or not in order")
            runs.append(_Run(begin, last + 1, period, places))
        return cls(tuple(runs))

    @classmethod
    def joined(cls, parts: Sequence[FrameSet]) -> Self:
        """Return one set of sets of which each lies behind the one before it, such as those of segments."""
        runs: list[_Run] = []
        for run in (run for part in parts for run in part._runs):
            if runs and run.begin < runs[-1].end:
                raise ValueError(f"frame {run.begin} is not behind {runs[-1].end - 1}")
            if runs and _continues(runs[-1], run):
                runs[-1] = _Run(runs[-1].begin, run.end, runs[-1].period, runs[-1].places)
            else:
                runs.append(run)
        return cls(tuple(runs))

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def __contains__(self, number: int) -> bool:
        return any(number in run for run in self._runs)

    def __iter__(self) -> Iterator[int]:
        for run in self._runs:
            yield from run

    def __str__(self) -> str:
        return " ".join(map(str, self._runs))

    @property
    def end(self) -> int:
        """Number after the last frame; 0 if there is none."""
        return self._runs[-1].end if self._runs else 0


def _continues(before: _Run, after: _Run) -> bool:
    if before.end != after.begin or before.period != after.period:
        return False
    shift = (after.begin - before.begin) % before.period
    return {(place + shift) % before.period for place in after.places} == set(before.places)


def _runs(flags: NDArray[np.bool_], first: int) -> Iterator[_Run]:
    """Yield runs that cover the flags: at each place the pattern that holds on for longest, the shortest of those."""
    length = len(flags)
    reaches = {period: _reach(flags, period) for period in range(1, min(LONGEST_PERIOD, length) + 1)}
    marked = np.append(np.flatnonzero(flags), length)
    at = 0
    while at < length:
        following = int(marked[np.searchsorted(marked, at)])
        if following - at >= LONGEST_PERIOD or following == length:  # a gap: nothing to tell
            at = following
            continue
        best_end, best_period = int(reaches[1][at]), 1
        for period, reach in reaches.items():
            end = int(reach[at])
            if end > best_end and end - at >= _REPEATS * period:
                best_end, best_period = end, period
        places = tuple(int(place) for place in np.flatnonzero(flags[at : min(at + best_period, best_end)]))
        if places:
            yield _Run(at + first, best_end + first, best_period, places)
        at = best_end


def _reach(flags: NDArray[np.bool_], period: int) -> NDArray[np.int32]:
    """Return for each place up to where (excluded) the flags repeat themselves after a period from there on."""
    length = len(flags)
    breaks = np.flatnonzero(flags[period:] != flags[:-period]) + period
    places = np.searchsorted(breaks, np.arange(length) + period)
    return np.append(breaks, length).astype(np.int32)[places]
