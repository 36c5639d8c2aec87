"""The threads of a batch: while the last pictures of one file drain, the next one is planned, opened and read."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TypeAlias

from fastrestore.batch.conversion import Conversion
from fastrestore.batch.failures import cancelled, is_memory, may_pass, stops_all, translated
from fastrestore.batch.order import Order, Place
from fastrestore.batch.outcome import Item, Outcome, Result
from fastrestore.errors import FastRestoreError, JobCancelledError, JobError
from fastrestore.runtime.engine_pool import EnginePool
from fastrestore.runtime.fleet.crew import Crew
from fastrestore.runtime.report import Progress

PATIENCE_S = 10.0
"""How long `close` waits for lanes to end."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a batch goes about it."""

    retries: int = 1
    """Further attempts at a file whose failure may pass."""
    fail_fast: bool = False
    """Whether the first failure ends the batch."""
    skip_done: bool = True
    """Whether outputs are left alone that are what would be made."""
    lanes: int = 2
    """Files under way at once."""
    crew: Crew | None = None
    """Workers that make the segments. They serve one film at a time, so there is one lane then."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A file is about to be converted."""

    item: Item
    plan: Mapping[str, str]
    expected: int | None
    """Frames of the output, if the source's header tells."""


@dataclass(frozen=True, slots=True)
class LaneEnded:
    """A lane has ended: nothing is left to do, or something failed that is no file's fault."""

    error: BaseException | None


Message: TypeAlias = Planned | Outcome | LaneEnded


class Lanes:
    """Threads that convert files, each one after the other. What they have to say comes in `messages`.

    Args:
        items: The files, in their order.
        policy: How.
        pool: Lends engines; belongs to the caller.
    """

    def __init__(self, items: Sequence[Item], policy: Policy, pool: EnginePool) -> None:
        self.messages: SimpleQueue[Message] = SimpleQueue()
        self.progress: dict[int, Progress] = {}
        """How far each file under way is, by its index."""
        self.policy, self.pool = policy, pool
        self.count = min(1 if policy.crew else policy.lanes, len(items))
        """Lanes, each of which ends with one `LaneEnded`."""
        self._lock = threading.Lock()
        self._order = Order()
        self._waiting = deque(_Task(item) for item in items)
        self._stopping = False
        # A lane that is stuck in a library is replaced: at worst there is one for each file.
        self._executor = ThreadPoolExecutor(self.count + len(items), thread_name_prefix="fastrestore-lane")
        self._lanes: list[Future[bool]] = []

    @property
    def stopping(self) -> bool:
        """Whether no further file is begun."""
        return self._stopping

    def start(self) -> None:
        """Start all lanes."""
        for _ in range(self.count):
            self._start()

    def stop(self) -> None:
        """Begin no further file, and end those under way at their next frame; their work folders stay."""
        with self._lock:
            self._stopping = True
        self._order.stop()

    def close(self) -> bool:
        """Stop, wait for the lanes for a while, and return whether all have ended.

        One may not: its thread may be stuck in a library, or in a step that takes long.
        """
        self.stop()
        self._executor.shutdown(wait=False)
        return not wait(self._lanes, PATIENCE_S).not_done

    def settle(self, attempt: Attempt, outcome: Outcome) -> bool:
        """Note what became of an attempt, unless that is known already; return whether it was not."""
        with self._lock:
            if attempt.settled:
                return False
            attempt.settled = True
            self.progress.pop(outcome.item.index, None)
            again = None if self._stopping else attempt.task.after(outcome, self.policy)
            if again is not None:
                self._waiting.append(again)
        if again is None:
            error = outcome.error if outcome.result is Result.FAILED else None
            if error is not None and (self.policy.fail_fast or stops_all(error)):
                self.stop()
            self.messages.put(replace(outcome, attempts=attempt.task.number))
        return True

    def replace(self, attempt: Attempt, outcome: Outcome) -> None:
        """Give up an attempt of which a thread is stuck, with the lane that makes it."""
        if not self.settle(attempt, outcome):
            return
        attempt.place.leave()
        with self._lock:
            if not self._stopping:
                self._start()
                return
        self.messages.put(LaneEnded(None))

    def _start(self) -> None:
        lane = self._executor.submit(copy_context().run, self._work)
        self._lanes.append(lane)
        lane.add_done_callback(self._ended)

    def _ended(self, lane: Future[bool]) -> None:
        if lane.exception() is not None or lane.result():
            self.messages.put(LaneEnded(lane.exception()))

    def _work(self) -> bool:
        """Convert file after file; return whether none is left, or else this lane was given up."""
        while (attempt := self._next()) is not None:
            if not self.settle(attempt, attempt.outcome()):
                return False
        return True

    def _next(self) -> Attempt | None:
        with self._lock:
            if self._stopping or not self._waiting:
                return None
            return Attempt(self, self._waiting.popleft(), Place(self._order))


@dataclass(frozen=True, slots=True)
class _Task:
    """A file that is to be converted."""

    item: Item
    number: int = 1
    """Of the attempt, from 1."""
    alone: bool = False
    """Whether nothing else may run beside it."""

    def after(self, outcome: Outcome, policy: Policy) -> _Task | None:
        """Return what is to be done after an attempt, or None: it is done, or failed for good."""
        error = outcome.error
        if error is None or outcome.result is not Result.FAILED:
            return None
        if is_memory(error) and not self.alone and policy.lanes > 1:
            return replace(self, alone=True)  # what it lacked, another one had: this does not count
        if self.number <= policy.retries and may_pass(error):
            return replace(self, number=self.number + 1)
        return None


class Attempt:
    """An attempt at a file, as its lane makes it; the `Observer` of the conversion.

    Args:
        lanes: Whose lane makes it.
        task: What is to be done.
        place: Its place among those under way.
    """

    def __init__(self, lanes: Lanes, task: _Task, place: Place) -> None:
        self.task, self.place = task, place
        self.settled = False
        """Whether it is known what became of it; changed under the lanes' lock."""
        self._lanes, self._began = lanes, time.perf_counter()

    def outcome(self) -> Outcome:
        """Make it, and return what became of it."""
        item, lanes = self.task.item, self._lanes
        conversion = Conversion(
            item, self.place, lanes.pool, self.task.alone, lanes.policy.skip_done, lanes.policy.crew
        )
        try:
            made = conversion.run(self)
        except JobCancelledError as error:
            return Outcome(item, Result.STOPPED, error=error)
        except FastRestoreError as error:
            return self._failed(error)
        except (MemoryError, RuntimeError, SystemError) as error:
            return self._failed(translated(error))
        finally:
            self.place.leave()
        return replace(made, seconds=self._seconds)

    def planned(self, plan: Mapping[str, str], expected: int | None) -> None:
        """See `Observer.planned`."""
        self._lanes.messages.put(Planned(self.task.item, plan, expected))

    def progressed(self, progress: Progress) -> None:
        """See `Observer.progressed`."""
        if self._lanes.stopping or self.settled:
            raise cancelled()
        self._lanes.progress[self.task.item.index] = progress

    def stalled(self, error: JobError) -> None:
        """See `Observer.stalled`."""
        self._lanes.replace(self, self._failed(error))

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._began - self.place.waited_s

    def _failed(self, error: FastRestoreError) -> Outcome:
        return Outcome(self.task.item, Result.FAILED, seconds=self._seconds, error=error)
