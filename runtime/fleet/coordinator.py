"""Has the segments of a film made by workers: deals, watches, replaces, and puts on record what arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from fastrestore.errors import FastRestoreError, JobError
from fastrestore.runtime.fleet.backlog import Task
from fastrestore.runtime.fleet.ledger import Ledger
from fastrestore.runtime.fleet.order import (
    Advanced,
    Assignment,
    Facts,
    Failed,
    Lost,
    Made,
    Message,
    Order,
    Stop,
    Stopped,
    Wanting,
    part_name,
)
from fastrestore.runtime.fleet.policy import Action, Policy
from fastrestore.runtime.fleet.scan import Stretch
from fastrestore.runtime.fleet.scanning import ScanEnded, Scanned
from fastrestore.runtime.fleet.scheduler import Scheduler
from fastrestore.runtime.fleet.surroundings import processor
from fastrestore.runtime.identity import differing
from fastrestore.runtime.making import Shown


class Fleet(Protocol):
    """Workers somewhere."""

    reports: SimpleQueue[tuple[str, object]]
    """What workers say, with their names."""

    @property
    def description(self) -> str:
        """Who they are, in words."""
        ...

    @property
    def beside(self) -> int:
        """How many of them share this machine's memory."""
        ...

    @property
    def size(self) -> int:
        """How many workers there should be now."""
        ...

    @property
    def workers(self) -> tuple[str, ...]:
        """Those there are."""
        ...

    @property
    def patience_s(self) -> float:
        """How long to wait for a place when there is no worker left."""
        ...

    @property
    def places(self) -> int:
        """How many places for workers there have ever been."""
        ...

    def begin(self) -> None:
        """Forget what was refused: another film begins."""
        ...

    def hire(self) -> str:
        """Start a worker where there is room for one, and return its name; each has a new one.

        Raises:
            JobError: If it cannot be started.
        """
        ...

    def send(self, worker: str, message: Message) -> None:
        """Tell a worker something."""
        ...

    def dismiss(self, worker: str, *, lost: bool = False) -> None:
        """End a worker at once. Nothing more is heard of it. Twice is fine.

        Args:
            worker: The worker.
            lost: Whether it is gone by itself: its place may be, too.
        """
        ...

    def refuse(self, worker: str) -> None:
        """End a worker, and have none in its place for this film."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a worker may be silent, and how often it is replaced."""

    silence_s: float = 300.0
    """While it makes a segment. A frame takes seconds at most; a hung driver takes for ever."""
    opening_s: float = 1800.0
    """While it opens a film: engines may have to be built."""
    replacements: int = 3
    """New workers for each one that there should be, in a film."""
    look_s: float = 1.0
    """How often it is looked after those that say nothing."""


class Coordinator:
    """Runs the workers of a fleet through one film. Everything happens in the thread that calls.

    Args:
        fleet: The workers.
        order: The film.
        source: By what the film's file is known; a worker that sees another one is left out.
        limits: How much is put up with.
        policy: How much is tried.
        clock: Seconds that do not go back.
    """

    def __init__(
        self,
        fleet: Fleet,
        order: Order,
        source: Mapping[str, int | str],
        limits: Limits | None = None,
        policy: Policy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet, self._order, self._source = fleet, order, source
        self._limits, self._clock = limits or Limits(), clock
        self._scheduler = Scheduler(policy)
        self._tasks: dict[int, Task] = {}
        self._facts: dict[str, Facts] = {}
        """Of the workers that have opened the film."""
        self._settings: Mapping[str, str] | None = None
        self._wanting: dict[str, None] = {}
        self._running: dict[tuple[str, int], int] = {}
        """Frames finished so far, by worker and segment."""
        self._silent_s: dict[str, float] = {}
        self._looked_at = clock()
        self._replaced = 0
        self._last_loss = ""
        self._alone_s = 0.0
        self._refused: list[FastRestoreError] = []
        self.notes: list[str] = []
        """What the user should know of the workers."""

    def open(self, preferred: Mapping[str, str] | None = None) -> Facts:
        """Have all workers open the film; return what the first of them found.

        Args:
            preferred: The settings of the run that is to go on: the first worker that has them is waited for.

        Raises:
            FastRestoreError: If none of them can.
        """
        preferred = None if preferred is None else {**preferred, "soundtrack": ""}
        self._fleet.begin()
        while len(self._fleet.workers) < self._fleet.size:
            self._fleet.hire()
        for worker in self._fleet.workers:
            self._fleet.send(worker, self._order)
        while True:
            self._take(self._limits.look_s)
            for facts in self._facts.values():
                if preferred is None or facts.settings == preferred or len(self._facts) == len(self._fleet.workers):
                    self._settings = facts.settings
                    break
            else:
                continue
            for worker in list(self._facts):
                self._compare(worker)
            return facts

    def make(self, ledger: Ledger, shown: Shown) -> None:
        """Make all segments that the scan finds missing.

        Raises:
            FastRestoreError: If that cannot be done; what was finished is on record.
        """
        self._ledger, self._shown = ledger, shown
        for worker in self._facts:
            self._scheduler.join(worker, self._clock())
        while not self._scheduler.complete:
            self._deal()
            self._take(self._pause())

    def dismiss_busy(self, grace_s: float = 0.0) -> None:
        """Have the workers stop that are still at something: nobody wants it any more.

        Args:
            grace_s: How long they may take; after that they are ended.
        """
        for worker, number in self._running:
            self._fleet.send(worker, Stop(self._order.film, number))
        until = self._clock() + grace_s
        while self._running and self._clock() < until:
            self._take(until - self._clock())
        for worker in {worker for worker, _ in self._running}:
            self._forget(worker)

    _ledger: Ledger
    _shown: Shown | None = None
    _shown_frames = 0
    _accepted_frames = 0

    def _deal(self) -> None:
        now = self._clock()
        for worker in self._scheduler.workers:
            for task in self._scheduler.cancel(worker):
                self._fleet.send(worker, Stop(task.film, task.number))
        for worker in list(self._wanting):
            if worker not in self._scheduler.workers:
                continue
            following = self._scheduler.next(worker, now)
            stretch = None if following is None else self._ledger.wants(following.number)
            if stretch is not None:
                del self._wanting[worker]
                self._running[worker, stretch.number] = 0
                self._silent_s[worker] = 0
                self._fleet.send(worker, self._assignment(worker, stretch))

    def _assignment(self, worker: str, stretch: Stretch) -> Assignment:
        return Assignment(
            self._order.film,
            stretch.number,
            stretch.start,
            stretch.sequential,
            stretch.after,
            stretch.passed.source_end,
            part_name(stretch.number, worker),
        )

    def _pause(self) -> float:
        """Return how long there is nothing to do unless something is reported."""
        now = self._clock()
        idle = [worker for worker in self._wanting if worker in self._scheduler.workers]
        times = [self._scheduler.wake(worker, now) for worker in idle]
        return min([self._limits.look_s, *(max(0.0, at - now) for at in times if at is not None)])

    def _take(self, pause_s: float) -> None:
        """Take one report, if one comes in time; look after those that say nothing."""
        self._watch()
        try:
            worker, report = self._fleet.reports.get(timeout=max(0.0, pause_s))
        except Empty:
            return
        if worker in self._fleet.workers:
            self._silent_s[worker] = 0
            self._hear(worker, report)
        elif isinstance(report, Scanned):
            self._expect(report.stretch)
        elif isinstance(report, ScanEnded):
            report.found.result()
            self._scheduler.end_of_tasks()

    def _hear(self, worker: str, report: object) -> None:
        if isinstance(report, Lost):
            self._lose(worker, report.reason)
        elif getattr(report, "film", None) != self._order.film:
            return  # of an earlier film
        elif isinstance(report, Facts):
            self._welcome(worker, report)
        elif isinstance(report, Wanting):
            if worker in self._facts:
                self._wanting[worker] = None
        elif isinstance(report, Advanced):
            self._running[worker, report.number] = self._running.get((worker, report.number), 0) + report.frames
            self._show()
        elif isinstance(report, Made):
            self._accept(worker, report)
        elif isinstance(report, Stopped):
            self._running.pop((worker, report.number), None)
        elif isinstance(report, Failed):
            self._fail(worker, report)

    def _welcome(self, worker: str, facts: Facts) -> None:
        """Take note that a worker has opened the film."""
        self._facts[worker] = facts
        if facts.processor not in ("", processor()):
            self.notes.append(f"worker {worker} may round differently: it runs on {facts.processor}")
        self._compare(worker)

    def _expect(self, stretch: Stretch) -> None:
        if self._ledger.expect(stretch):
            task = self._tasks[stretch.number] = Task(self._order.film, stretch.number, float(len(stretch.stamps)))
            self._scheduler.add([task])

    def _compare(self, worker: str) -> None:
        """Let a worker take part if its segments would be the same as those of the others."""
        facts = self._facts[worker]
        if facts.source != self._source:
            self._refuse(worker, JobError(f"it sees another file as {self._order.source}", "check the storage"))
        elif self._settings is not None and facts.settings != self._settings:
            text = differing(self._settings, facts.settings)
            self._refuse(worker, JobError(f"it differs: {text}", "install the same versions everywhere"))
        elif self._shown is not None:
            self._scheduler.join(worker, self._clock())

    def _refuse(self, worker: str, error: FastRestoreError) -> None:
        """Do without a worker. The run goes on with the others, if there are any."""
        self._fleet.refuse(worker)
        self._forget(worker)
        self._refused.append(error)
        if not self._fleet.workers:
            raise self._refused[0]
        self.notes.append(f"worker {worker} is left out: {error.message}")

    def _accept(self, worker: str, made: Made) -> None:
        task = self._tasks[made.number]
        self._running.pop((worker, made.number), None)
        if self._ledger.accept(made):
            self._accepted_frames += len(made.proved.stamps)
            share = {stage: seconds / self._fleet.size for stage, seconds in made.busy_s.items()}
            assert self._shown is not None, "segments are made once there is somebody to tell"
            self._shown.add(0, share)
        self._scheduler.finished(worker, task, self._clock())
        self._show()

    def _fail(self, worker: str, failed: Failed) -> None:
        failure = failed.failure
        if failed.number is None:
            self._refuse(worker, failure.error)
            return
        self._running.pop((worker, failed.number), None)
        self._ledger.discard(part_name(failed.number, worker))
        if failure.is_the_films:
            raise failure.error
        verdict = self._scheduler.failed(worker, self._tasks[failed.number], self._clock(), failure.message)
        if verdict.action is Action.GIVE_UP:
            raise failure.error
        self._lose(worker, failure.message)  # a card that has failed once is of no more use to its process

    def _lose(self, worker: str, reason: str) -> None:
        self._forget(worker, lost=True)
        self._last_loss = reason
        self.notes.append(f"worker {worker} was lost: {reason}")
        if given_up := self._scheduler.lost(worker, self._clock()):
            raise JobError(
                f"segment {given_up[0].number} was lost with every worker that began it; of the last one: {reason}",
                "see how much memory there is; use fewer workers, a smaller `--to`, or `--tile`",
            )

    def _replace(self) -> None:
        """Have a worker wherever there should be one, but not without end."""
        most = self._limits.replacements * self._fleet.places
        while self._replaced < most and self._fleet.size > len(self._fleet.workers):
            self._replaced += 1
            self._fleet.send(self._fleet.hire(), self._order)

    def _forget(self, worker: str, *, lost: bool = False) -> None:
        self._fleet.dismiss(worker, lost=lost)
        self._facts.pop(worker, None)
        self._wanting.pop(worker, None)
        for key in [key for key in self._running if key[0] == worker]:
            del self._running[key]
            self._ledger.discard(part_name(key[1], worker))

    def _watch(self) -> None:
        """Give up on workers that have been silent for too long."""
        now = self._clock()
        self._replace()
        # While this process is stopped, or the machine asleep, nobody can be heard.
        passed_s, self._looked_at = min(now - self._looked_at, self._limits.look_s), now
        self._wait_for_any(passed_s)
        busy = {worker for worker, _ in self._running}
        for worker in self._fleet.workers:
            opening = worker not in self._facts
            if not opening and worker not in busy:
                self._silent_s[worker] = 0
                continue
            self._silent_s[worker] = self._silent_s.get(worker, 0.0) + passed_s
            limit = self._limits.opening_s if opening else self._limits.silence_s
            if self._silent_s[worker] > limit and self._fleet.reports.empty():
                self._lose(worker, f"no sign of life for {limit:.0f} s")

    def _wait_for_any(self, passed_s: float) -> None:
        """Give up when there has been no worker for too long."""
        self._alone_s = 0.0 if self._fleet.workers else self._alone_s + passed_s
        if not self._fleet.workers and self._alone_s >= self._fleet.patience_s:
            last = f"; of the last one: {self._last_loss}" if self._last_loss else ""
            raise JobError(
                f"all workers were lost, and {self._replaced} that took their places{last}",
                "see how much memory there is; use fewer workers, a smaller `--to`, or `--tile`",
            )

    def _show(self) -> None:
        """Tell how far the run is: of a segment that is made twice, the run that is farther counts."""
        best: dict[int, int] = {}
        for (_, number), frames in self._running.items():
            if self._ledger.wants(number) is not None:
                best[number] = max(best.get(number, 0), frames)
        frames = self._accepted_frames + sum(best.values())
        assert self._shown is not None, "segments are made once there is somebody to tell"
        self._shown.add(frames - self._shown_frames, {})
        self._shown_frames = frames
        self._shown.tell()
