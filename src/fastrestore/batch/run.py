"""Runs a batch from its first file to its last, and tells how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty
from typing import Protocol

from fastrestore.batch.lanes import LaneEnded, Lanes, Planned, Policy
from fastrestore.batch.outcome import Item, Outcome, Position, Result
from fastrestore.runtime.engine_pool import EnginePool
from fastrestore.runtime.report import Progress

TELL_EVERY_S = 0.5


class Listener(Protocol):
    """Is told how a batch goes, in the thread that runs it."""

    def planned(self, item: Item, plan: Mapping[str, str], position: Position) -> None:
        """Take that a file is about to be converted, and how, in words."""
        ...

    def progressed(self, item: Item, progress: Progress, position: Position) -> None:
        """Take how far a file is."""
        ...

    def settled(self, outcome: Outcome, position: Position) -> None:
        """Take what became of a file."""
        ...


class Batch:
    """A batch of conversions. Use it once.

    Args:
        items: The files, in their order; `index` is their place.
        policy: How.
        clock: Seconds, rising.
    """

    def __init__(
        self, items: Sequence[Item], policy: Policy | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._items, self._policy, self._clock = items, policy or Policy(), clock
        self._expected: dict[int, int] = {}
        """Frames of each output, as far as known."""
        self._all_expected = 0
        self._frames = 0
        """Of what is settled."""
        self._outcomes: dict[int, Outcome] = {}
        self._began = self._told = clock()
        self.engines_opened = 0
        """How many engines were opened for it."""
        self.left_behind = False
        """Whether a thread may still be at work: then the process must end without waiting for it."""

    @property
    def outcomes(self) -> list[Outcome]:
        """What became of every file, in their order."""
        waiting = (self._outcomes.get(item.index, Outcome(item, Result.NOT_BEGUN)) for item in self._items)
        return list(waiting)

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return self._clock() - self._began

    def run(self, listener: Listener) -> list[Outcome]:
        """Convert all files and return what became of each. A file that fails disturbs no other.

        Whatever the listener raises, or a signal's handler, stops the files under way and is passed on.
        """
        with EnginePool() as pool:
            lanes = Lanes(self._items, self._policy, pool)
            try:
                lanes.start()
                self._listen(lanes, listener)
            finally:
                self.left_behind = not lanes.close()
                self._take_rest(lanes)
                self.engines_opened = pool.opened
        return self.outcomes

    def _listen(self, lanes: Lanes, listener: Listener) -> None:
        live = lanes.count
        while live:
            try:
                message = lanes.messages.get(timeout=TELL_EVERY_S)
            except Empty:
                self._tell(lanes, listener)
                continue
            if isinstance(message, LaneEnded):
                if message.error is not None:
                    raise message.error
                live -= 1
            elif isinstance(message, Planned):
                if message.expected is not None:
                    self._expect(message.item, message.expected)
                listener.planned(message.item, message.plan, self._position(lanes))
            else:
                self._take(message)
                listener.settled(message, self._position(lanes))
            self._tell(lanes, listener)

    def _tell(self, lanes: Lanes, listener: Listener) -> None:
        """Tell how far the files under way are, now and then."""
        if self._clock() - self._told < TELL_EVERY_S:
            return
        self._told = self._clock()
        for index, progress in sorted(lanes.progress.copy().items()):
            listener.progressed(self._items[index], progress, self._position(lanes))

    def _take_rest(self, lanes: Lanes) -> None:
        """Take what became of the files that were under way when it was stopped."""
        while True:
            try:
                message = lanes.messages.get_nowait()
            except Empty:
                return
            if isinstance(message, Outcome):
                self._take(message)

    def _take(self, outcome: Outcome) -> None:
        self._outcomes[outcome.item.index] = outcome
        self._frames += outcome.frames
        self._expect(outcome.item, outcome.frames)

    def _expect(self, item: Item, frames: int) -> None:
        self._all_expected += frames - self._expected.get(item.index, 0)
        self._expected[item.index] = frames

    def _position(self, lanes: Lanes) -> Position:
        under_way = [each.frames for each in lanes.progress.copy().values() if each.phase == "convert"]
        return Position(
            files=len(self._items),
            settled=len(self._outcomes),
            frames=self._frames + sum(under_way),
            expected=self._all_expected,
            unknown=len(self._items) - len(self._expected),
            elapsed_s=self.seconds,
        )
