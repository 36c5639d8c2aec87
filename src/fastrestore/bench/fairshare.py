"""Transfers that share one storage: each gets an even share of it, but no more than its own link carries."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence


class Transfer:
    """Bytes on their way."""

    __slots__ = ("ended", "kind", "owner")

    def __init__(self, kind: int, owner: object) -> None:
        self.kind, self.owner, self.ended = kind, owner, False


class _Class:
    """Transfers over links of one speed: they all move equally fast, so one counter of bytes serves them all."""

    __slots__ = ("active", "heap", "link", "moved", "rate")

    def __init__(self, link: float) -> None:
        self.link = link
        self.rate = 0.0
        self.moved = 0.0
        """What a transfer that was there from the beginning would have moved."""
        self.active = 0
        self.heap: list[tuple[float, int, Transfer]] = []


class SharedStorage:
    """Fluid transfers, max-min fair. A change costs O(log n) and a little for each kind of link.

    Args:
        bytes_per_s: Of the storage, all transfers together; infinity where it never limits.
        links: Most bytes a second of one transfer, by kind; may be infinite where the storage is not.
    """

    def __init__(self, bytes_per_s: float, links: Sequence[float]) -> None:
        self._total = bytes_per_s
        self._classes = [_Class(link) for link in links]
        self._by_speed = sorted(self._classes, key=lambda each: each.link)
        self._now = 0.0
        self._serial = 0

    def limits(self, kind: int) -> bool:
        """Whether a transfer of this kind takes any time at all."""
        return min(self._total, self._classes[kind].link) < math.inf

    def begin(self, kind: int, size_bytes: float, now: float, owner: object) -> Transfer:
        """Begin a transfer."""
        self._advance(now)
        transfer, found = Transfer(kind, owner), self._classes[kind]
        self._serial += 1
        heapq.heappush(found.heap, (found.moved + size_bytes, self._serial, transfer))
        found.active += 1
        self._share()
        return transfer

    def end(self, transfer: Transfer, now: float) -> None:
        """End a transfer, whether it is done or not; a second time changes nothing."""
        if not transfer.ended:
            self._advance(now)
            transfer.ended = True
            self._classes[transfer.kind].active -= 1
            self._share()

    def next_end(self) -> tuple[float, Transfer] | None:
        """Return which transfer will be done first, and when, if no other begins or ends before."""
        best: tuple[float, Transfer] | None = None
        for found in self._classes:
            while found.heap and found.heap[0][2].ended:
                heapq.heappop(found.heap)
            if found.heap:
                at = self._now + max(found.heap[0][0] - found.moved, 0.0) / found.rate
                if best is None or at < best[0]:
                    best = at, found.heap[0][2]
        return best

    def _advance(self, now: float) -> None:
        passed, self._now = now - self._now, now
        for found in self._classes:
            if found.active:
                found.moved += passed * found.rate

    def _share(self) -> None:
        """Divide the storage anew: slow links first, what they leave goes to the faster ones."""
        left, active = self._total, sum(found.active for found in self._classes)
        for found in self._by_speed:
            if found.active:
                found.rate = min(found.link, left / active)
                left = max(left - found.rate * found.active, 0.0)
                active -= found.active
