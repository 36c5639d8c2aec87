"""Plays a fleet of machines that make segments: the real scheduler, simulated time.

Machines come up, are lost and come back; runs take longer or shorter than they should, and fail; all of them read from
and write to one storage while they compute. A run is done when both its computing and its transfers are.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fastrestore.bench.fairshare import SharedStorage, Transfer
from fastrestore.errors import UsageError
from fastrestore.runtime.fleet.backlog import Task
from fastrestore.runtime.fleet.policy import Action, Policy
from fastrestore.runtime.fleet.scheduler import Scheduler

_REFUSALS = 4
"""How many of the idle are asked in vain before the others are not: there is hardly ever something for only one."""


@dataclass(frozen=True, slots=True)
class Machines:
    """Machines of one kind."""

    kind: str
    count: int = 1
    workers: int = 1
    """On each."""
    price_per_hour: float = 0.0
    start_s: float = 0.0
    """From being ordered to its workers' first task."""
    losses_per_hour: float = 0.0
    """Of one machine; for those that are taken away as much as for those that break."""
    back_after_s: float | None = None
    """How long until another is ordered in place of a lost one; None: never."""
    link_bytes_per_s: float = math.inf
    """Of one machine to the storage, shared evenly by its workers."""


@dataclass(frozen=True, slots=True)
class World:
    """What all machines have in common."""

    storage_bytes_per_s: float = math.inf
    spread: float = 0.3
    """Sigma of the logarithm of how much longer or shorter a run takes than expected; the mean is not changed by it."""
    failures: float = 0.01
    """Share of the runs that fail, each somewhere on its way."""
    noticed_after_s: float = 15.0
    """How long until a lost machine is noticed."""


class Load(NamedTuple):
    """A task and what it takes."""

    task: Task
    seconds: tuple[float, ...]
    """Expected, by kind of machine."""
    read_bytes: float = 0.0
    write_bytes: float = 0.0


@dataclass(slots=True)
class Played:
    """How it went."""

    wall_s: float = 0.0
    """Until the last film was joined."""
    work_s: float = 0.0
    """Expected seconds of all tasks that were done, each on the kind of machine that did it."""
    workers: int = 0
    machine_s: dict[str, float] = field(default_factory=dict)
    """Seconds that machines were there, by kind."""
    cost: float = 0.0
    moved_bytes: float = 0.0
    output_bytes: float = 0.0
    work_peak_bytes: float = 0.0
    """The most that segments and files being joined took at once, finished films not counted."""
    films_s: dict[int, float] = field(default_factory=dict)
    """When each film was whole."""
    failures: int = 0
    losses: int = 0
    """Of machines."""
    copies: int = 0
    given_up: int = 0

    @property
    def efficiency(self) -> float:
        """Expected work over what all workers could have done in the time."""
        return self.work_s / (self.workers * self.wall_s) if self.wall_s else 1.0


@dataclass(slots=True, eq=False)
class _Machine:
    kind: int
    names: list[str]
    up: bool = False
    known: bool = False
    """Whether the scheduler takes it to be there."""
    since: float = 0.0


@dataclass(slots=True, eq=False)
class _Run:
    load: Load
    worker: str
    fails: bool
    computing: bool = True
    transfer: Transfer | None = None


class Simulation:
    """Plays one fleet and one set of tasks, once.

    Args:
        machines: The fleet.
        loads: The tasks, by film and number.
        world: What all machines have in common.
        seed: Of everything that happens by chance. The same seed gives the same run.
        policy: The scheduler's.
    """

    def __init__(
        self,
        machines: Sequence[Machines],
        loads: Sequence[Load],
        world: World,
        seed: int,
        policy: Policy | None = None,
    ) -> None:
        self._kinds, self._world, self._random = machines, world, random.Random(seed)
        self._scheduler = Scheduler(policy)
        self._scheduler.add(load.task for load in loads)
        self._scheduler.end_of_tasks()
        self._loads = {load.task: load for load in loads}
        links = [kind.link_bytes_per_s / kind.workers for kind in machines]
        self._storage = SharedStorage(world.storage_bytes_per_s, links)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._serial = 0
        self._machines: dict[str, _Machine] = {}
        """By worker."""
        self._all: list[_Machine] = []
        self._runs: dict[str, _Run] = {}
        """By worker."""
        self._idle: deque[str] = deque()
        self._alarm = math.inf
        self._film_bytes: defaultdict[int, float] = defaultdict(float)
        self._broken: set[int] = set()
        """Films with a segment that was given up: what there is of them stays in the work folder."""
        self._work_bytes = 0.0
        self._machine_s: defaultdict[int, float] = defaultdict(float)
        self._played = Played(workers=sum(kind.count * kind.workers for kind in machines))

    def play(self) -> Played:
        """Return how it went.

        Raises:
            UsageError: If all machines are lost before all is done, and none comes back.
        """
        for index, kind in enumerate(self._kinds):
            for number in range(kind.count):
                names = [f"{kind.kind}-{number}.{worker}" for worker in range(kind.workers)]
                machine = _Machine(index, names)
                self._all.append(machine)
                self._machines |= dict.fromkeys(names, machine)
                self._order(machine)
        while not self._scheduler.complete:
            moved = self._storage.next_end()
            if moved is not None and (not self._events or moved[0] <= self._events[0][0]):
                self._now = moved[0]
                self._moved(moved[1])
            elif self._events:
                self._now, _, happen = heapq.heappop(self._events)
                happen()
            else:
                left = self._scheduler.progress().waiting
                raise UsageError(
                    f"all machines are lost with {left} tasks to go", "let them come back: set `back_after_s`"
                )
        return self._ended()

    def _ended(self) -> Played:
        played, end = self._played, self._now
        for machine in self._all:
            if machine.up or machine.since < end:
                self._bill(machine)
        played.machine_s = {kind.kind: self._machine_s[index] for index, kind in enumerate(self._kinds)}
        played.cost = sum(self._machine_s[index] / 3600 * kind.price_per_hour for index, kind in enumerate(self._kinds))
        played.wall_s = max([end, *played.films_s.values()])
        played.copies = self._scheduler.progress().copies
        return played

    def _at(self, seconds: float, happen: Callable[[], object]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (self._now + seconds, self._serial, happen))

    def _order(self, machine: _Machine) -> None:
        machine.since = self._now
        self._at(self._kinds[machine.kind].start_s, lambda: self._up(machine))

    def _up(self, machine: _Machine) -> None:
        self._noticed(machine)
        machine.up = machine.known = True
        if rate := self._kinds[machine.kind].losses_per_hour:
            self._at(self._random.expovariate(rate) * 3600, lambda: self._lost(machine))
        for name in machine.names:
            self._scheduler.join(name, self._now)
            self._ask(name)

    def _lost(self, machine: _Machine) -> None:
        machine.up = False
        self._played.losses += 1
        self._bill(machine)
        for name in machine.names:
            if (run := self._runs.pop(name, None)) is not None:
                self._stop(run)
        self._at(self._world.noticed_after_s, lambda: self._noticed(machine))
        back_after_s = self._kinds[machine.kind].back_after_s
        if back_after_s is not None:
            self._at(back_after_s, lambda: self._order(machine))

    def _noticed(self, machine: _Machine) -> None:
        if machine.known and not machine.up:
            machine.known = False
            for name in machine.names:
                self._give_up(self._scheduler.lost(name, self._now))
            self._ask_idle()

    def _bill(self, machine: _Machine) -> None:
        self._machine_s[machine.kind] += self._now - machine.since
        machine.since = math.inf

    def _ask(self, name: str) -> bool:
        """Have a worker ask for a task; return whether there was one."""
        task = self._scheduler.next(name, self._now)
        if task is not None:
            self._begin(name, self._loads[task])
            return True
        self._idle.append(name)
        wake = self._scheduler.wake(name, self._now)
        if wake is not None and wake < self._alarm:
            self._alarm = wake
            self._at(wake - self._now, self._alarmed)
        return False

    def _alarmed(self) -> None:
        self._alarm = math.inf
        self._ask_idle()

    def _ask_idle(self) -> None:
        everybody = self._scheduler.progress().waiting > 0
        left, refusals = len(self._idle), 0
        while left and (everybody or refusals < _REFUSALS):
            left -= 1
            name = self._idle.popleft()
            if self._machines[name].up and name not in self._runs:
                refusals += not self._ask(name)

    def _begin(self, name: str, load: Load) -> None:
        world, kind = self._world, self._machines[name].kind
        noise = math.exp(world.spread * self._random.gauss(0.0, 1.0) - world.spread**2 / 2)
        seconds = load.seconds[kind] * noise
        fails = self._random.random() < world.failures
        if fails:
            seconds *= self._random.random()
        run = self._runs[name] = _Run(load, name, fails)
        size = load.read_bytes + load.write_bytes
        if size and self._storage.limits(kind):
            run.transfer = self._storage.begin(kind, size, self._now, run)
        self._played.moved_bytes += size
        self._at(seconds, lambda: self._computed(run))

    def _computed(self, run: _Run) -> None:
        if run.computing:  # else it was stopped before
            run.computing = False
            if run.fails or run.transfer is None:
                self._end(run)

    def _moved(self, transfer: Transfer) -> None:
        run = transfer.owner
        assert isinstance(run, _Run)
        self._storage.end(transfer, self._now)
        run.transfer = None
        if not run.computing:
            self._end(run)

    def _stop(self, run: _Run) -> None:
        run.computing = False
        if run.transfer is not None:
            self._storage.end(run.transfer, self._now)
            run.transfer = None

    def _end(self, run: _Run) -> None:
        name, task = run.worker, run.load.task
        self._stop(run)
        del self._runs[name]
        if run.fails:
            verdict = self._scheduler.failed(name, task, self._now)
            self._played.failures += 1
            self._give_up([task] if verdict.action is Action.GIVE_UP else [])
            self._ask(name)
            self._ask_idle()
            return
        copies = [other for other in self._scheduler.at_work(task) if other != name]
        if self._scheduler.finished(name, task, self._now):
            self._count(run)
        for other in copies:
            self._scheduler.cancel(other)
            if (beaten := self._runs.pop(other, None)) is not None:
                self._stop(beaten)
                self._ask(other)
        self._ask(name)

    def _give_up(self, tasks: Sequence[Task]) -> None:
        self._played.given_up += len(tasks)
        self._broken.update(task.film for task in tasks)

    def _count(self, run: _Run) -> None:
        """Take note of a segment; the last one of a film has the film joined, which reads and writes all of it."""
        played, load = self._played, run.load
        film = load.task.film
        played.work_s += load.seconds[self._machines[run.worker].kind]
        played.output_bytes += load.write_bytes
        self._film_bytes[film] += load.write_bytes
        self._work_bytes += load.write_bytes
        size = 0.0
        if not self._scheduler.left(film) and film not in self._broken:
            size = self._film_bytes[film]
            joining_s = 2 * size / self._world.storage_bytes_per_s
            played.films_s[film] = self._now + joining_s
            played.moved_bytes += 2 * size
            self._at(joining_s, lambda: self._joined(size))
        played.work_peak_bytes = max(played.work_peak_bytes, self._work_bytes + size)

    def _joined(self, size_bytes: float) -> None:
        self._work_bytes -= size_bytes
