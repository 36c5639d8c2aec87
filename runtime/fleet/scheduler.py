"""Deals segments to workers, and decides what becomes of those that fail, get lost, or take too long.

A state machine: it has no thread, no clock and no files, so worker processes on one machine, a cluster and a
simulation are all run by it. The caller tells it what happened and when, in seconds on any clock that does not go
back, and asks it what to do. The same calls give the same answers. Calls must not overlap: guard it by a lock where
several threads have it.
"""

from __future__ import annotations

import enum
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fastrestore.runtime.fleet.backlog import Backlog, Task
from fastrestore.runtime.fleet.pace import Deadlines, Pace, Started
from fastrestore.runtime.fleet.policy import Action, Policy, Verdict

_LOOK_AHEAD = 8
"""How many returned tasks are looked through for one that a worker has not failed itself. Bounds the cost of a call."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How many tasks are in which state."""

    waiting: int
    running: int
    done: int
    given_up: int
    dropped: int
    copies: int
    """Second runs begun so far."""
    weight: float
    """Of all tasks but the dropped ones."""
    weight_done: float

    @property
    def tasks(self) -> int:
        """All that are not dropped."""
        return self.waiting + self.running + self.done + self.given_up


class _State(enum.Enum):
    WAITING = enum.auto()
    RUNNING = enum.auto()
    DONE = enum.auto()
    GIVEN_UP = enum.auto()
    DROPPED = enum.auto()


_OPEN = (_State.WAITING, _State.RUNNING)


@dataclass(slots=True)
class _Record:
    task: Task
    state: _State = _State.WAITING
    runs: dict[str, float] = field(default_factory=dict)
    """Who is at it, since when."""
    failed_on: set[str] = field(default_factory=set)
    failures: int = 0
    losses: int = 0


@dataclass(slots=True)
class _Worker:
    running: dict[Task, float] = field(default_factory=dict)
    to_stop: list[Task] = field(default_factory=list)
    strikes: int = 0
    rests_until: float = -math.inf


class Scheduler:
    """Who makes which segment, until each is made exactly once.

    * Workers `join`, ask for their `next` task, and report it `finished` or `failed`; one that is gone is `lost`.
      A worker may run several tasks at a time; it may be lost and join again under its name.
    * Neighbouring segments go to one worker. When all are dealt, the idle take from the end of the heaviest run left.
    * What failed goes to another worker, ahead of what nobody has begun; what was lost goes ahead of that.
    * When nothing is left to deal, the idle begin a second time what takes too long. The first to finish counts;
      `cancel` tells the other to stop.
    * A worker that keeps failing rests, so that a broken machine does not fail everything, and a disk that is gone for
      seconds does not use up all attempts.

    A call costs O(log n) on average, `lost`, `drop` and `overdue` in proportion to what they return or end.

    Args:
        policy: How much is tried.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy or Policy()
        self._backlog = Backlog(self._policy.longest_run, self._policy.stealing)
        self._records: dict[Task, _Record] = {}
        self._workers: dict[str, _Worker] = {}
        self._gone: dict[str, tuple[float, _Worker]] = {}
        self._again: deque[_Record] = deque()
        self._counts: Counter[_State] = Counter()
        self._left: Counter[int] = Counter()
        self._weight = self._weight_done = 0.0
        self._given_up: dict[Task, str] = {}
        self._pace, self._deadlines = Pace(self._policy.samples), Deadlines()
        self._copies = 0
        self._ended = False

    def add(self, tasks: Iterable[Task]) -> None:
        """Put tasks behind those of their film. The films are worked on in the order in which they first appear.

        Raises:
            ValueError: If a number is not above the last one of its film, a weight is not above zero, or the end of
                the tasks was said before.
        """
        for task in tasks:
            if self._ended:
                raise ValueError(f"{task} was added after the end of the tasks")
            if not 0 < task.weight < math.inf:
                raise ValueError(f"the weight of {task} is not above zero")
            wanted = self._backlog.add(task)
            record = self._records[task] = _Record(task)
            self._counts[record.state] += 1
            self._left[task.film] += 1
            self._weight += task.weight
            if not wanted:
                self._settle(record, _State.DROPPED)

    def end_of_tasks(self) -> None:
        """Say that nothing will be added any more."""
        self._ended = True

    def join(self, worker: str, now: float) -> None:
        """Let a worker take part.

        Raises:
            ValueError: If it does already: whoever starts again under its name must be reported lost first.
        """
        if worker in self._workers:
            raise ValueError(f"worker `{worker}` has joined already")
        # One that keeps getting lost rests like one that keeps failing.
        left_at, before = self._gone.pop(worker, (-math.inf, _Worker()))
        self._workers[worker] = before if now - left_at < self._policy.longest_rest_s else _Worker()

    def lost(self, worker: str, now: float) -> list[Task]:
        """Take away all that a worker had, to be begun elsewhere first; return the tasks given up on because of it.

        A result that it still delivers counts if it is the first. A worker that is not there is not lost again.
        """
        gone = self._workers.pop(worker, None)
        if gone is None:
            return []
        self._backlog.give_back(worker)
        if gone.running:
            self._strike(gone, now)
        self._gone[worker] = now, _Worker(strikes=gone.strikes, rests_until=gone.rests_until)
        given_up = []
        for task in reversed(gone.running):
            record = self._records[task]
            del record.runs[worker]
            record.losses += 1
            if record.runs:
                self._deadlines.forget_rate()
            elif record.losses >= self._policy.losses:
                self._give_up(record, f"lost with {record.losses} workers, `{worker}` the last")
                given_up.append(task)
            else:
                self._move(record, _State.WAITING)
                self._again.appendleft(record)
        return given_up[::-1]

    def next(self, worker: str, now: float) -> Task | None:
        """Return what a worker should begin now; None if there is nothing for it at present.

        Ask again when anything has been reported or added, and at the time that `wake` says.

        Raises:
            KeyError: If the worker has not joined, or is lost.
        """
        if now < self._workers[worker].rests_until:
            return None
        record = self._returned(worker)
        if record is None and (task := self._backlog.take(worker, len(self._workers))) is not None:
            record = self._records[task]
        if record is None:
            record = self._second_run(worker, now)
        if record is None:
            return None
        self._move(record, _State.RUNNING)
        record.runs[worker] = self._workers[worker].running[record.task] = now
        self._deadlines.add(Started(record.task, worker, now))
        return record.task

    def wake(self, worker: str, now: float) -> float | None:
        """Return when `next` may have something for a worker that it has nothing for now, should nothing happen."""
        rests_until = self._workers[worker].rests_until
        if now < rests_until:
            return rests_until
        first = self._first_deadline(worker)
        return None if first is None else max(now, first[0])

    def finished(self, worker: str, task: Task, now: float) -> bool:
        """Take note of a result; return whether it is the one that counts.

        It does not if somebody else was first, or if the task was given up, dropped, or never added.
        """
        record = self._records.get(task)
        started = self._end_run(worker, record)
        if record is None or record.state not in _OPEN:
            return False
        if started is not None:
            self._pace.add(max(now - started, 0.0), task.weight)
        if worker in self._workers:
            self._workers[worker].strikes = 0
        self._weight_done += task.weight
        self._settle(record, _State.DONE)
        return True

    def failed(self, worker: str, task: Task, now: float, reason: str = "", *, final: bool = False) -> Verdict:
        """Take note of a failure; return what becomes of the task.

        Args:
            worker: Who failed.
            task: At what.
            now: When.
            reason: Why, for the verdict should it be the last.
            final: Whether trying again is known to be useless, as for a broken file.
        """
        record = self._records.get(task)
        if self._end_run(worker, record) is None or record is None or record.state not in _OPEN:
            return Verdict(Action.NOTHING, "it was settled before")
        record.failures += 1
        record.failed_on.add(worker)
        if not final:
            self._strike(self._workers[worker], now)
            if self._workers[worker].rests_until > now:
                self._backlog.give_back(worker)
        if final or (record.failures >= self._policy.attempts and not record.runs):
            times = "once" if record.failures == 1 else f"{record.failures} times"
            verdict = Verdict(Action.GIVE_UP, f"failed {times}, last on `{worker}`{reason and ': '}{reason}")
            self._give_up(record, verdict.reason)
            return verdict
        if record.runs:
            self._deadlines.forget_rate()
            return Verdict(Action.WAIT, f"`{next(iter(record.runs))}` is still at it")
        self._move(record, _State.WAITING)
        self._again.append(record)
        return Verdict(Action.RETRY, f"attempt {record.failures} of {self._policy.attempts} failed on `{worker}`")

    def cancel(self, worker: str) -> list[Task]:
        """Return, once, what a worker is at in vain and should stop."""
        if worker not in self._workers:
            return []
        found, self._workers[worker].to_stop = self._workers[worker].to_stop, []
        return found

    def drop(self, film: int) -> None:
        """Forget what is left of a film, and what will still be added of it: it cannot become whole any more."""
        for task in self._backlog.drop(film):
            if self._records[task].state in _OPEN:
                self._settle(self._records[task], _State.DROPPED)

    def overdue(self, now: float) -> list[Started]:
        """Return what has been running for too long, first those begun first; nothing before the median is known."""
        limit = self._limit()
        if limit is None:
            return []
        late = [run for run in self._running() if now - run.at > limit * run.task.weight]
        return sorted(late, key=lambda run: (run.at, run.task, run.worker))

    def at_work(self, task: Task) -> tuple[str, ...]:
        """Return which workers are at a task."""
        record = self._records.get(task)
        return () if record is None else tuple(record.runs)

    def left(self, film: int) -> int:
        """Return how many of a film's tasks, of those added so far, are neither done, given up, nor dropped."""
        return self._left[film]

    def progress(self) -> Progress:
        """Return how many tasks are in which state."""
        counts = self._counts
        return Progress(
            waiting=counts[_State.WAITING],
            running=counts[_State.RUNNING],
            done=counts[_State.DONE],
            given_up=counts[_State.GIVEN_UP],
            dropped=counts[_State.DROPPED],
            copies=self._copies,
            weight=self._weight,
            weight_done=self._weight_done,
        )

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: the end was said, and every task is done, given up, or dropped."""
        return self._ended and not any(self._counts[state] for state in _OPEN)

    @property
    def workers(self) -> tuple[str, ...]:
        """Who takes part, in the order of joining."""
        return tuple(self._workers)

    @property
    def given_up(self) -> Mapping[Task, str]:
        """The tasks given up on, and why."""
        return MappingProxyType(self._given_up)

    def _move(self, record: _Record, state: _State) -> None:
        self._counts[record.state] -= 1
        self._counts[state] += 1
        record.state = state

    def _settle(self, record: _Record, state: _State) -> None:
        """Give a task its last state; whoever is still at it is to stop."""
        for worker in record.runs:
            del self._workers[worker].running[record.task]
            self._workers[worker].to_stop.append(record.task)
        record.runs.clear()
        self._left[record.task.film] -= 1
        if state is _State.DROPPED:
            self._weight -= record.task.weight
        self._move(record, state)

    def _give_up(self, record: _Record, reason: str) -> None:
        self._given_up[record.task] = reason
        self._settle(record, _State.GIVEN_UP)

    def _end_run(self, worker: str, record: _Record | None) -> float | None:
        """Take a task from a worker; return since when it was at it, None if it was not."""
        if record is None or worker not in self._workers:
            return None
        holder = self._workers[worker]
        if record.task in holder.to_stop:
            holder.to_stop.remove(record.task)
        record.runs.pop(worker, None)
        return holder.running.pop(record.task, None)

    def _strike(self, worker: _Worker, now: float) -> None:
        worker.strikes += 1
        if (beyond := worker.strikes - self._policy.strikes) >= 0:
            worker.rests_until = now + min(self._policy.rest_s * 2.0 ** min(beyond, 30), self._policy.longest_rest_s)

    def _returned(self, worker: str) -> _Record | None:
        """Take a task that failed or was lost before, rather not one that failed on this very worker."""
        passed: list[_Record] = []
        found = None
        while self._again and found is None and len(passed) < _LOOK_AHEAD:
            record = self._again.popleft()
            if record.state is not _State.WAITING:
                continue
            if worker not in record.failed_on or not self._others(record):
                found = record
            else:
                passed.append(record)
        self._again.extendleft(reversed(passed))
        return found

    def _others(self, record: _Record) -> bool:
        """Whether anybody takes part who has not failed a task yet."""
        return len(self._workers) > sum(worker in self._workers for worker in record.failed_on)

    def _second_run(self, worker: str, now: float) -> _Record | None:
        first = self._first_deadline(worker)
        if first is None or first[0] > now:
            return None
        self._copies += 1
        return self._records[first[1].task]

    def _first_deadline(self, worker: str) -> tuple[float, Started] | None:
        """Return the next task that a worker could begin a second time, and when it is overdue."""
        limit = self._limit()
        if limit is None:
            return None
        self._deadlines.renew(limit, self._running)
        return self._deadlines.first(
            self._watched,
            lambda run: run.worker != worker and worker not in self._records[run.task].failed_on,
        )

    def _watched(self, run: Started) -> bool:
        runs = self._records[run.task].runs
        return len(runs) == 1 and runs.get(run.worker) == run.at

    def _limit(self) -> float | None:
        """Return from how many seconds per weight on a task is overdue; None if that is not known."""
        median = self._pace.median
        return None if median is None or self._policy.patience is None else self._policy.patience * median

    def _running(self) -> Iterator[Started]:
        for name, worker in self._workers.items():
            for task, since in worker.running.items():
                yield Started(task, name, since)
