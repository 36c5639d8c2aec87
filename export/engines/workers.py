"""Builds on several cards at once: a process for each, that sees no other card and dies alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path

from fastrestore.errors import EngineError, FastRestoreError, JobCancelledError
from fastrestore.export.engines.building import OnBuilding, Outcome, Prover, build_one
from fastrestore.export.engines.plan import PlannedEngine
from fastrestore.export.engines.progress import BuildProgress
from fastrestore.runtime.cache.engines import EngineCache

_PATIENCE_S = 30.0
"""How long a process that is to stop may take: a builder looks up only between two steps."""
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_Message = tuple[str, int, object]


def groups_of(planned: Sequence[PlannedEngine], jobs: int | None = None) -> list[list[int]]:
    """Return which engines one process builds, by their places in the plan.

    Args:
        planned: What to build.
        jobs: Processes for what needs no card; None means one. What needs a card has one process a card.
    """
    by_card: dict[int | None, list[int]] = {}
    for place, engine in enumerate(planned):
        by_card.setdefault(engine.target.index, []).append(place)
    free = by_card.pop(None, [])
    count = min(len(free), jobs or 1)
    return [*by_card.values(), *(free[start::count] for start in range(count))]


def build_in_processes(
    planned: Sequence[PlannedEngine],
    cache: EngineCache,
    watcher: OnBuilding,
    *,
    anew: bool = False,
    jobs: int | None = None,
    prover: Prover | None = None,
) -> list[Outcome]:
    """Build as `building.build_all` does, in processes of their own; a crash costs the engine under way, no other.

    Args:
        planned: What to build.
        cache: Where it goes; the processes open it anew.
        watcher: Told what happens, in this thread. What it raises stops all builds.
        anew: Build what is in the cache, too.
        jobs: Processes at a time; None means one for each card, and one for what needs no card.
        prover: Proves what is built for a card that is here; a function of a module, as processes hand it over.

    Raises:
        EngineError: If the library cannot be loaded or the cache not be used.
    """
    outcomes: dict[int, Outcome] = {}
    waiting = deque(groups_of(planned, jobs))
    limit = jobs or len(waiting)
    running: dict[Connection, _Worker] = {}
    try:
        while waiting or running:
            while waiting and len(running) < limit:
                worker = _Worker([(place, planned[place]) for place in waiting.popleft()], cache.folder, anew, prover)
                running[worker.connection] = worker
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                worker = running[connection]
                message = worker.receive()
                if message is None:
                    running.pop(connection)
                    if left := _ended(worker, watcher, outcomes):
                        waiting.appendleft(left)
                else:
                    _take(message, worker, watcher, outcomes)
    finally:
        for worker in running.values():
            worker.stop()
    return [outcomes[place] for place in range(len(planned))]


class _Worker:
    """A process that builds one engine after the other, and the end of the pipe that it talks into."""

    def __init__(
        self, engines: list[tuple[int, PlannedEngine]], folder: Path, anew: bool, prover: Prover | None
    ) -> None:
        self.left = deque(place for place, _ in engines)
        """Places of what is not finished; the first is under way."""
        context = multiprocessing.get_context("spawn")  # a process made by fork cannot use CUDA
        self.connection, far_end = context.Pipe()
        visible = _visible(engines[0][1].target.index)
        self._process = context.Process(
            target=_work, args=(far_end, engines, folder, anew, visible, prover), name="build-engines", daemon=True
        )
        self._process.start()
        far_end.close()  # so that the process holds the only one, and its end is seen here

    def receive(self) -> _Message | None:
        """Return the next message, or None if the process has ended."""
        try:
            message: _Message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return None
        return message

    @property
    def ending(self) -> str:
        """How the process ended, in words."""
        code = self._process.exitcode or 0
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def stop(self) -> None:
        """End the process: at the builder's next step, or by force if that does not come."""
        self.connection.close()
        self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _take(message: _Message, worker: _Worker, watcher: OnBuilding, outcomes: dict[int, Outcome]) -> None:
    kind, place, content = message
    if isinstance(content, BuildProgress):
        watcher.progress(place, content)
    elif isinstance(content, Outcome):
        worker.left.remove(place)
        outcomes[place] = content
        watcher.finished(place, content)
    else:
        assert kind == "error"
        raise EngineError(*map(str, content)) if isinstance(content, tuple) else EngineError(str(content))


def _ended(worker: _Worker, watcher: OnBuilding, outcomes: dict[int, Outcome]) -> list[int]:
    """Count the engine under way as failed if the process did not finish; return what is left to another one."""
    if not worker.left:
        return []
    place = worker.left.popleft()
    outcomes[place] = Outcome(
        "failed", problem=f"the building process ended by {worker.ending}", hint="see `fastrestore doctor`"
    )
    watcher.finished(place, outcomes[place])
    return list(worker.left)


def _visible(index: int | None) -> str | None:
    """Return what makes one card the only one, and so the first, in a new process; None leaves all."""
    if index is None:
        return None
    known = os.environ.get(_VISIBLE)
    return known.split(",")[index].strip() if known else str(index)


def _work(
    connection: Connection,
    engines: list[tuple[int, PlannedEngine]],
    folder: Path,
    anew: bool,
    visible: str | None,
    prover: Prover | None,
) -> None:
    """Build, in a process of its own. The other end going away, for whatever reason, stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; who started this one decides
    if visible is not None:
        os.environ[_VISIBLE] = visible
    cache = EngineCache(folder)

    def tell(place: int, progress: BuildProgress) -> bool:
        connection.send(("progress", place, progress))
        return not connection.poll()  # nothing ever comes but the end

    try:
        for place, planned in engines:
            outcome = build_one(planned, cache, partial(tell, place), anew, prover)
            connection.send(("outcome", place, outcome))
    except (JobCancelledError, BrokenPipeError, ConnectionResetError):
        return
    except FastRestoreError as error:
        connection.send(("error", 0, (error.message, error.hint)))
