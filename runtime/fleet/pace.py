"""How long tasks take, and which have taken too long."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fastrestore.runtime.fleet.backlog import Task

_RENEW_AT = 0.05
"""Deadlines are set anew once the rate has moved by this share since they were."""


class Pace:
    """The running median of seconds per weight; O(log n) a sample.

    Args:
        samples: How many it takes before the median is believed.
    """

    def __init__(self, samples: int) -> None:
        self._wanted = samples
        self._low: list[float] = []
        self._high: list[float] = []

    def add(self, seconds: float, weight: float) -> None:
        """Count a finished task."""
        rate = seconds / weight
        if self._low and rate > -self._low[0]:
            heapq.heappush(self._high, rate)
        else:
            heapq.heappush(self._low, -rate)
        if len(self._low) > len(self._high) + 1:
            heapq.heappush(self._high, -heapq.heappop(self._low))
        elif len(self._high) > len(self._low):
            heapq.heappush(self._low, -heapq.heappop(self._high))

    @property
    def median(self) -> float | None:
        """The lower median in seconds per weight, or None before there are enough samples."""
        return -self._low[0] if len(self._low) + len(self._high) >= self._wanted else None


class Started(NamedTuple):
    """A task that a worker has begun."""

    task: Task
    worker: str
    at: float
    """Seconds on the caller's clock."""


class Deadlines:
    """When tasks that run are overdue, the earliest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Started]] = []
        self._rate = math.inf
        self._serial = 0

    def add(self, started: Started) -> None:
        """Watch a task from now on."""
        self._serial += 1
        heapq.heappush(self._heap, (started.at + self._rate * started.task.weight, self._serial, started))

    def forget_rate(self) -> None:
        """Have the deadlines set anew from what runs, at the next look."""
        self._rate = math.inf

    def renew(self, rate: float, running: Callable[[], Iterable[Started]]) -> None:
        """Set the deadlines by a new rate in seconds per weight, if it differs from the last one by enough."""
        if abs(rate - self._rate) <= _RENEW_AT * self._rate < math.inf:
            return
        self._rate = rate
        self._heap.clear()
        for started in running():
            self.add(started)

    def first(
        self, watched: Callable[[Started], bool], suits: Callable[[Started], bool]
    ) -> tuple[float, Started] | None:
        """Return the earliest deadline of a task that suits; those no longer watched are forgotten on the way."""
        unsuited = []
        found = None
        while self._heap and found is None:
            entry = heapq.heappop(self._heap)
            if watched(entry[2]):
                unsuited.append(entry)
                if suits(entry[2]):
                    found = entry[0], entry[2]
        for entry in unsuited:
            heapq.heappush(self._heap, entry)
        return found
