"""Runs something until its time has settled: caches filled, threads started, clocks at their speed."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from fastrestore.bench.peak import Clock

_WINDOW = 5
_SAME = 0.03
"""Two windows whose medians differ by no more than this share are one state."""
_LEAST_S = 0.25
MOST_S = 10.0


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How warming up went."""

    runs: int
    seconds: float
    stable: bool
    """Whether the time settled before the limit was reached."""
    first_ms: float
    """The first run: what a caller waits once."""


def warm_up(run: Callable[[], object], clock: Clock, most_s: float = MOST_S) -> WarmUp:
    """Run until two windows of five runs in a row have the same median, or `most_s` is over.

    Args:
        run: One run.
        clock: Tells the time in seconds.
        most_s: When to give up; two windows are run in any case, unless each run takes longer than this.
    """
    times: list[float] = []
    begun = clock()
    while True:
        begin = clock()
        run()
        now = clock()
        times.append(now - begin)
        if now - begun >= _LEAST_S and _settled(times):
            return WarmUp(len(times), now - begun, True, times[0] * 1e3)
        if now - begun >= most_s:
            return WarmUp(len(times), now - begun, False, times[0] * 1e3)


def _settled(times: list[float]) -> bool:
    if len(times) < 2 * _WINDOW:
        return False
    before, now = statistics.median(times[-2 * _WINDOW : -_WINDOW]), statistics.median(times[-_WINDOW:])
    return abs(now - before) <= _SAME * before
