"""The segments that nobody has begun: kept as runs of neighbours, dealt out from the front, stolen from the back."""

from __future__ import annotations

import heapq
from collections import deque
from typing import NamedTuple


class Task(NamedTuple):
    """One segment of one film."""

    film: int
    number: int
    """Of the segment in its film."""
    weight: float = 1.0
    """How much work it is, in any unit that is the same for all tasks: output pixels, seconds of film."""


class Film:
    """A film's tasks in order, and which of them nobody holds."""

    __slots__ = ("dropped", "free", "listed", "order", "sums", "tasks")

    def __init__(self, order: int) -> None:
        self.order = order
        self.tasks: list[Task] = []
        self.sums = [0.0]
        """`sums[i]` is the weight of the tasks before `i`."""
        self.free: deque[Run] = deque()
        self.listed = False
        """Whether it is among those that are looked through for work."""
        self.dropped = False


class Run:
    """Neighbouring tasks of a film: `film.tasks[start:stop]`."""

    __slots__ = ("film", "start", "stop")

    def __init__(self, film: Film, start: int, stop: int) -> None:
        self.film, self.start, self.stop = film, start, stop

    def __len__(self) -> int:
        return 0 if self.film.dropped else self.stop - self.start

    @property
    def weight(self) -> float:
        """The weight of what is left of it."""
        return self.film.sums[self.stop] - self.film.sums[self.start] if len(self) else 0.0


class Backlog:
    """Deals tasks in runs. Every call costs O(log n) on average.

    A worker keeps taking from the front of its run: it then reads its film straight on. Runs get shorter as the work
    runs out, and once all of it is held by somebody, the idle take the later half of the heaviest run left.

    Args:
        longest_run: Most tasks that a worker holds ahead. More of them seek less; fewer finish films more in order.
        stealing: Whether the idle take from others at all.
    """

    def __init__(self, longest_run: int, stealing: bool = True) -> None:
        self._longest, self._stealing = longest_run, stealing
        self._films: dict[int, Film] = {}
        self._by_order: list[Film] = []
        self._open: list[int] = []
        """A heap of the orders of films that may have something free."""
        self._held: dict[str, Run] = {}
        self._last: dict[str, Film] = {}
        self._heaviest: list[tuple[float, int, Run]] = []
        """A heap of held runs by weight. Runs only shrink, so an entry may say too much, never too little."""
        self._serial = 0
        self._free = 0

    def add(self, task: Task) -> bool:
        """Put a task behind those of its film; return False if the film was dropped.

        Raises:
            ValueError: If its number does not come after the last one of its film.
        """
        film = self._films.get(task.film)
        if film is None:
            film = self._films[task.film] = Film(len(self._by_order))
            self._by_order.append(film)
        if film.tasks and task.number <= film.tasks[-1].number:
            raise ValueError(f"segment {task.number} of film {task.film} comes after {film.tasks[-1].number}")
        film.tasks.append(task)
        film.sums.append(film.sums[-1] + task.weight)
        if film.dropped:
            return False
        end = len(film.tasks)
        if film.free and film.free[-1].stop == end - 1:
            film.free[-1].stop = end
        else:
            film.free.append(Run(film, end - 1, end))
        self._list(film)
        self._free += 1
        return True

    def take(self, worker: str, workers: int) -> Task | None:
        """Return the next task for a worker, one of `workers`; None if nothing is left that it may have."""
        run = self._held.get(worker)
        if run is None or not run:
            run = self._reserve(workers, self._last.get(worker)) or self._steal()
            if run is None:
                return None
            self._held[worker], self._last[worker] = run, run.film
            self._note(run)
        task = run.film.tasks[run.start]
        run.start += 1
        return task

    def give_back(self, worker: str) -> None:
        """Free what a worker holds and has not begun, ahead of the rest of its film."""
        run = self._held.pop(worker, None)
        self._last.pop(worker, None)
        if run:
            # A run of its own: the old one may still be listed among the held ones, and must be empty there.
            run.film.free.appendleft(Run(run.film, run.start, run.stop))
            self._free += len(run)
            self._list(run.film)
            run.start = run.stop

    def drop(self, number: int) -> list[Task]:
        """Forget what is left of a film, and what will still be added of it; return all that was ever added of it."""
        film = self._films.get(number)
        if film is None:
            film = self._films[number] = Film(len(self._by_order))
            self._by_order.append(film)
        self._free -= sum(len(run) for run in film.free)
        film.free.clear()
        film.dropped = True
        return film.tasks

    def _list(self, film: Film) -> None:
        if not film.listed:
            film.listed = True
            heapq.heappush(self._open, film.order)

    def _note(self, run: Run) -> None:
        if self._stealing:
            self._serial += 1
            heapq.heappush(self._heaviest, (-run.weight, self._serial, run))

    def _reserve(self, workers: int, preferred: Film | None) -> Run | None:
        """Take a run from the film that was worked on last, else from the first film that has any."""
        film = preferred if preferred is not None and preferred.free else self._first_open()
        if film is None:
            return None
        source = film.free[0]
        # Half an even share each time round, so that all finish at about the same time.
        length = min(len(source), self._longest, max(1, self._free // (2 * workers)))
        run = Run(film, source.start, source.start + length)
        source.start += length
        if not source:
            film.free.popleft()
        self._free -= length
        return run

    def _first_open(self) -> Film | None:
        while self._open:
            film = self._by_order[self._open[0]]
            if film.free:
                return film
            film.listed = False
            heapq.heappop(self._open)
        return None

    def _steal(self) -> Run | None:
        """Cut the later half off the heaviest run that anybody holds."""
        while self._heaviest:
            said, serial, run = self._heaviest[0]
            if not run:
                heapq.heappop(self._heaviest)
            elif -said > run.weight:
                heapq.heapreplace(self._heaviest, (-run.weight, serial, run))
            else:
                cut = run.start + len(run) // 2
                stolen = Run(run.film, cut, run.stop)
                run.stop = cut
                return stolen
        return None
