"""In which order runs side by side begin, read their sources and take memory: that in which they queued up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum

from fastrestore.batch.failures import cancelled


class _Stage(IntEnum):
    """How far a run is."""

    WAITING = 0
    INSIDE = 1
    READ = 2


class Order:
    """Lets runs in, one after the other, as far as memory suffices. Safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._places: dict[int, Place] = {}
        """Of the runs under way, by number."""
        self._next = 0
        self._stopped = False

    def queue_up(self, place: Place) -> None:
        """Give a place its number, after all others."""
        with self._changed:
            place.number = self._next
            self._places[place.number] = place
            self._next += 1

    def stop(self) -> None:
        """Let nobody in or read any more: whoever waits gets an error."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def enter(self, place: Place, needed_bytes: int, most_bytes: int) -> None:
        """Wait until those before are inside and there is memory; see `Place.inside`."""

        def fits() -> bool:
            others = [each for each in self._places.values() if each.stage is not _Stage.WAITING]
            return not others or sum(each.needed_bytes for each in others) + needed_bytes <= most_bytes

        with self._changed:
            self._wait(lambda: self._before(place, _Stage.INSIDE) and fits())
            place.needed_bytes = needed_bytes
            self._note(place, _Stage.INSIDE)

    def wait_to_read(self, place: Place) -> None:
        """Wait until those before have read their sources."""
        with self._changed:
            self._wait(lambda: self._before(place, _Stage.READ))

    def has_read(self, place: Place) -> None:
        """Note that a source has been read."""
        with self._changed:
            self._note(place, _Stage.READ)

    def leave(self, place: Place) -> None:
        """Note that a run is over. Twice is fine."""
        with self._changed:
            self._places.pop(place.number, None)
            self._changed.notify_all()

    def _before(self, place: Place, stage: _Stage) -> bool:
        """Whether all before a place have come so far."""
        return all(other.stage >= stage for number, other in self._places.items() if number < place.number)

    def _note(self, place: Place, stage: _Stage) -> None:
        place.stage = stage
        self._changed.notify_all()

    def _wait(self, until: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._stopped or until())
        if self._stopped:
            raise cancelled()


class Place:
    """The place of one run in the order; the `Turn` of its source.

    Args:
        order: Whose it is.
    """

    def __init__(self, order: Order) -> None:
        self.number = -1
        """Rising in the order; negative before it has queued up."""
        self.stage = _Stage.WAITING
        self.needed_bytes = 0
        self.waited_s = 0.0
        """For its turn to read, so far."""
        self._order = order

    def queue_up(self) -> None:
        """Take the place after all others. Once; from then on those that come later wait for this one."""
        self._order.queue_up(self)

    @contextmanager
    def inside(self, needed_bytes: int, most_bytes: int) -> Iterator[None]:
        """Wait to be let in, and leave at the end.

        Args:
            needed_bytes: Memory that the run may take.
            most_bytes: What all runs inside may take together; one alone is let in whatever it needs.

        Raises:
            JobCancelledError: If nobody is let in any more.
        """
        self._order.enter(self, needed_bytes, most_bytes)
        try:
            yield
        finally:
            self.leave()

    def begin(self) -> None:
        """See `Turn.begin`."""
        began = time.perf_counter()
        self._order.wait_to_read(self)
        self.waited_s += time.perf_counter() - began

    def end(self) -> None:
        """See `Turn.end`."""
        self._order.has_read(self)

    def leave(self) -> None:
        """Give the place up. Twice is fine."""
        self._order.leave(self)
