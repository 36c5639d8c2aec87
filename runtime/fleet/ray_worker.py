"""A worker on a node of a Ray cluster. Ray calls its methods from several threads; it knows nothing of Ray itself."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastrestore.errors import FastRestoreError, JobError
from fastrestore.runtime.fleet.loop import WorkerLoop
from fastrestore.runtime.fleet.order import Message, Report
from fastrestore.runtime.fleet.spool import Spool
from fastrestore.runtime.fleet.surroundings import surroundings
from fastrestore.runtime.identity import identity


@dataclass(frozen=True, slots=True)
class Sight:
    """What a node sees of a film."""

    source: Path
    """The film's file, or where its copy belongs."""
    has_source: bool
    """Whether it is there, and the very same."""
    folder: Path
    """Where parts are to be written."""
    shares_folder: bool
    """Whether that is the coordinator's own work folder."""


class RayWorker:
    """Does what it is told, and keeps what it has to say until that was heard.

    Calls may be repeated: after a cut of the network nobody knows which of them arrived. Messages and reports are
    numbered, and each counts once.

    Args:
        threads: Threads for the networks.
    """

    def __init__(self, threads: int) -> None:
        self._spool = Spool()
        self._own_folder = self._spool.work()
        self._loop = WorkerLoop(self._say, threads, _leave)
        self._changed = threading.Condition()
        self._said: deque[tuple[int, Report]] = deque()
        self._count = self._heard = 0
        threading.Thread(target=self._work, name="fastrestore-worker", daemon=True).start()

    def surroundings(self) -> dict[str, str]:
        """Return what the worker's results depend on."""
        return surroundings()

    def look(self, source: Path, known: Mapping[str, int | str], probe: Path, nonce: str) -> Sight:
        """Return what this node sees of a film.

        Args:
            source: Its path on the coordinator.
            known: By what it is known.
            probe: A file that the coordinator has put into its work folder.
            nonce: What is in there.
        """
        shared = False
        with suppress(OSError):
            shared = probe.read_text(encoding="ascii") == nonce
        folder = probe.parent if shared else self._own_folder
        if _is(source, known):
            return Sight(source, True, folder, shared)
        copy = self._spool.source(source.name, str(sorted(known.items())))
        return Sight(copy, _is(copy, known), folder, shared)

    def receive(self, path: Path, offset: int, data: bytes) -> None:
        """Take a piece of a copy."""
        self._spool.write(path, offset, data)

    def received(self, path: Path, sha256: str, changed_ns: int) -> None:
        """Take note that a copy is whole.

        Raises:
            JobError: If it is not.
        """
        self._spool.finish(path, sha256, changed_ns)

    def tell(self, messages: Sequence[tuple[int, Message]]) -> None:
        """Take messages, in order; those that were heard before are not heard again."""
        with self._changed:
            for number, message in messages:
                if number == self._heard + 1:
                    self._heard = number
                    self._loop.tell(message)

    def exchange(
        self, messages: Sequence[tuple[int, Message]], acknowledged: int, wait_s: float
    ) -> tuple[int, list[tuple[int, Report]]]:
        """Take messages and return what there is to say, after a while even if that is nothing.

        Args:
            messages: As for `tell`.
            acknowledged: Number of the last report that was heard.
            wait_s: How long to wait for something to say.

        Returns:
            The number of the last message heard, and reports with their numbers.
        """
        self.tell(messages)
        with self._changed:
            while self._said and self._said[0][0] <= acknowledged:
                self._said.popleft()
            self._changed.wait_for(lambda: self._said, wait_s)
            return self._heard, list(self._said)

    def fetch(self, part: str, offset: int, length: int) -> bytes:
        """Return a piece of a finished part."""
        with (self._own_folder / part).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def forget(self, part: str) -> None:
        """Remove a part that was fetched."""
        (self._own_folder / part).unlink(missing_ok=True)

    def _work(self) -> None:
        """Work until the process ends; should the work end, which only a fault of ours can do, end the process."""
        try:
            self._loop.run()
        finally:
            traceback.print_exc()
            os._exit(1)

    def _say(self, report: Report) -> None:
        with self._changed:
            self._count += 1
            self._said.append((self._count, report))
            self._changed.notify_all()


def _is(path: Path, known: Mapping[str, int | str]) -> bool:
    try:
        return path.is_file() and identity(path) == known
    except (FastRestoreError, OSError):
        return False


def _leave(error: JobError) -> None:
    print(f"a worker gives up: {error.message}", file=sys.stderr, flush=True)  # noqa: T201 - nobody else can tell
    os._exit(1)
