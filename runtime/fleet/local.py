"""Workers that are processes on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from fastrestore.config import cpu_count
from fastrestore.errors import JobError
from fastrestore.runtime.fleet.order import Lost, Message
from fastrestore.runtime.fleet.share import Share

_PACKAGES = Path(sys.modules["fastrestore"].__path__[0]).absolute().parent
"""The folder in which workers find the very package that runs here."""
_ENDING_S = 10.0


@dataclass(slots=True)
class _Hired:
    process: subprocess.Popen[bytes]
    connection: Connection
    listener: threading.Thread
    place: int


class LocalFleet:
    """Worker processes, each with its share of the machine. Use it in a `with` statement: none outlives it.

    They end with this process too, however that ends.

    Args:
        shares: A worker for each.
    """

    def __init__(self, shares: Sequence[Share]) -> None:
        self._shares = tuple(shares)
        self._hired: dict[str, _Hired] = {}
        self._refused: set[int] = set()
        self._count = 0
        self.reports: SimpleQueue[tuple[str, object]] = SimpleQueue()
        """What workers say, with their names."""

    patience_s = 0.0
    """There is nobody to wait for."""

    @property
    def description(self) -> str:
        """Who they are, in words."""
        return f"{self.places} processes: {'; '.join(map(str, self._shares))}"

    @property
    def beside(self) -> int:
        """How many of them share this machine's memory."""
        return self.places

    @property
    def size(self) -> int:
        """How many workers there should be now."""
        return len(self._shares) - len(self._refused)

    @property
    def places(self) -> int:
        """How many places for workers there have ever been."""
        return len(self._shares)

    def begin(self) -> None:
        """Forget what was refused: another film begins."""
        self._refused.clear()

    @property
    def workers(self) -> tuple[str, ...]:
        """Those there are."""
        return tuple(self._hired)

    def process_id(self, worker: str) -> int:
        """Return the number of a worker's process."""
        return self._hired[worker].process.pid

    def hire(self) -> str:
        """Start a worker in a place where there is none, and return its name; each has a new one.

        Raises:
            JobError: If it cannot be started.
        """
        taken = {hired.place for hired in self._hired.values()} | self._refused
        place = next(place for place in range(self.places) if place not in taken)
        self._count += 1
        name = f"w{place + 1}.{os.getpid():x}.{self._count}"
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = self._start(theirs.fileno(), self._shares[place])
            connection = Connection(ours.detach())
        listener = threading.Thread(target=self._listen, args=(name, process, connection), daemon=True)
        self._hired[name] = _Hired(process, connection, listener, place)
        listener.start()
        return name

    def send(self, worker: str, message: Message) -> None:
        """Tell a worker something. One that is gone does not hear it; that it is gone is reported."""
        hired = self._hired.get(worker)
        if hired is not None:
            with suppress(OSError):
                hired.connection.send(message)

    def dismiss(self, worker: str, *, lost: bool = False) -> None:
        """End a worker at once, whatever it is doing. Nothing more is heard of it. Twice is fine."""
        hired = self._hired.pop(worker, None)
        if hired is not None:
            hired.process.kill()
            hired.process.wait()
            hired.listener.join()
            hired.connection.close()

    def refuse(self, worker: str) -> None:
        """End a worker, and have none in its place for this film."""
        if worker in self._hired:
            self._refused.add(self._hired[worker].place)
        self.dismiss(worker)

    def close(self) -> None:
        """End all workers. Twice is fine."""
        for hired in self._hired.values():
            hired.process.kill()
        for worker in self.workers:
            self.dismiss(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _start(self, descriptor: int, share: Share) -> subprocess.Popen[bytes]:
        # The system ends a child with the thread that started it, which must therefore be the last one to go.
        bound = threading.current_thread() is threading.main_thread()
        words = [descriptor, os.getpid(), share.threads, int(bound)]
        # `-P`: a file of the current folder must not take a library's place.
        command = [sys.executable, "-P", "-m", "fastrestore.runtime.fleet.process", *map(str, words)]
        with _kept_to(share.cores):
            try:
                return subprocess.Popen(
                    command,
                    env=_environment(share),
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # what a library prints must not get among the data
                    pass_fds=(descriptor,),
                )
            except OSError as error:
                raise JobError(f"cannot start a worker: {error.strerror}", "use fewer `--workers`") from error

    def _listen(self, name: str, process: subprocess.Popen[bytes], connection: Connection) -> None:
        try:
            while True:
                self.reports.put((name, connection.recv()))
        except (EOFError, OSError):
            pass
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_S)
        self.reports.put((name, Lost(_ending(process.poll()))))


def own_cores() -> tuple[int, ...]:
    """Return the cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return tuple(sorted(affinity(0))) if affinity else tuple(range(cpu_count()))


@contextmanager
def _kept_to(cores: Sequence[int]) -> Iterator[None]:
    """Keep this thread to some cores, and with it whatever it starts: before any library counts them."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _environment(share: Share) -> dict[str, str]:
    paths = [str(_PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    changes = {"PYTHONPATH": os.pathsep.join(paths)}
    if share.card is not None:
        changes["CUDA_VISIBLE_DEVICES"] = share.card
    return {**os.environ, **changes}


def _ending(code: int | None) -> str:
    if code is None:
        return "it no longer answers"
    if code < 0:
        why = ": too little memory, or somebody's `kill -9`" if code == -9 else ""
        return f"it was ended by signal {-code}{why}"
    return f"it ended with exit code {code}"
