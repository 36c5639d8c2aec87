"""What a worker does with what it is told, wherever it runs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Never

from fastrestore.errors import DeviceError, FastRestoreError, JobError
from fastrestore.kernels.translate import computing
from fastrestore.runtime.engine_pool import EnginePool
from fastrestore.runtime.fleet.order import (
    Advanced,
    Assignment,
    Failed,
    Failure,
    Message,
    Order,
    Report,
    Stop,
    Stopped,
    Wanting,
)
from fastrestore.runtime.fleet.worker import Draft, SegmentWorker, StoppedError
from fastrestore.runtime.media.watchdog import Watchdog

SIGN_OF_LIFE_S = 0.25
"""How often a worker says at most how far it is."""


class WorkerLoop:
    """Does what it is told, one message after the other.

    Segments are made by the thread that calls `run`, and proved in another while the next one is made. `tell` may be
    called from any thread.

    Args:
        say: Takes reports, from any thread.
        threads: Threads for the networks; 0 uses every core.
        leave: Called when a thread is stuck in a library: it must end the process, since nothing else can.
    """

    def __init__(self, say: Callable[[Report], object], threads: int, leave: Callable[[JobError], None]) -> None:
        self._say, self._threads = say, threads
        self._todo: deque[Message] = deque()
        self._arrived = threading.Condition()
        self._stopped: set[tuple[int, int]] = set()
        self._film = ExitStack()
        self._worker: SegmentWorker | None = None
        self._engines = EnginePool(most_idle=1)
        self._proving = ThreadPoolExecutor(1, thread_name_prefix="fastrestore-verify")
        self._pending: Future[None] | None = None
        self._failed: Future[None] | None = None
        self._watchdog = Watchdog(on_stall=leave)
        self._said = 0.0
        self._unsaid = 0

    def tell(self, message: Message) -> None:
        """Take a message. What was told is done in order, but for `Stop`, which is heard at once."""
        with self._arrived:
            if isinstance(message, Stop):
                self._stopped.add((message.film, message.number))
            else:
                self._todo.append(message)
            self._arrived.notify()

    def run(self) -> Never:
        """Work until the process ends; what is raised is a fault of ours."""
        with self._watchdog:
            while True:
                message = self._next()
                if isinstance(message, Order):
                    self._open(message)
                elif isinstance(message, Assignment):
                    self._make(message)

    def _next(self) -> Message:
        with self._arrived:
            self._arrived.wait_for(lambda: self._todo or self._failed is not None)
            if self._failed is not None:
                self._failed.result()
            return self._todo.popleft()

    def _open(self, order: Order) -> None:
        self._wait()
        self._film.close()
        self._stopped.clear()
        self._worker = None
        worker = SegmentWorker(order, self._engines, self._threads, self._watchdog)
        try:
            with computing():
                self._worker = self._film.enter_context(worker)
        except (FastRestoreError, MemoryError) as error:
            self._say(Failed(order.film, None, _failure(error)))
        else:
            self._say(worker.facts)
            self._say(Wanting(order.film))

    def _make(self, assignment: Assignment) -> None:
        worker = self._worker
        film, number = assignment.film, assignment.number
        if worker is None:
            return
        self._said, self._unsaid = time.monotonic(), 0
        try:
            with computing():
                draft = worker.encode(assignment, lambda: self._on_frame(film, number))
        except StoppedError:
            worker.discard(assignment)
            self._say(Stopped(film, number))
        except (FastRestoreError, MemoryError) as error:
            self._say(Failed(film, number, _failure(error)))
        else:
            self._say(Advanced(film, number, self._unsaid))
            self._wait()
            self._pending = self._proving.submit(self._prove, worker, draft)
            self._pending.add_done_callback(self._proved)
        self._say(Wanting(film))

    def _prove(self, worker: SegmentWorker, draft: Draft) -> None:
        assignment = draft.assignment
        try:
            self._say(worker.prove(draft))
        except (FastRestoreError, MemoryError) as error:
            self._say(Failed(assignment.film, assignment.number, _failure(error)))

    def _proved(self, proof: Future[None]) -> None:
        """Have the working thread end if a proof ended in a way that nobody has foreseen."""
        if proof.exception() is not None:
            with self._arrived:
                self._failed = proof
                self._arrived.notify()

    def _wait(self) -> None:
        """Wait until what is being proved is; so that no more than one segment is."""
        if self._pending is not None:
            self._pending.result()

    def _on_frame(self, film: int, number: int) -> None:
        self._unsaid += 1
        now = time.monotonic()
        if now - self._said >= SIGN_OF_LIFE_S:
            self._say(Advanced(film, number, self._unsaid))
            self._said, self._unsaid = now, 0
        if (film, number) in self._stopped:
            raise StoppedError


def _failure(error: FastRestoreError | MemoryError) -> Failure:
    if isinstance(error, MemoryError):
        error = DeviceError("there is not enough memory", "use fewer `--workers`, a smaller `--to`, or `--tile`")
    return Failure.of(error)
