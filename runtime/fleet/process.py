"""A worker as a process of its own: takes orders through a socket, and ends with the process that started it.

Started as `python -m fastrestore.runtime.fleet.process SOCKET PARENT THREADS BOUND`: the number of an inherited socket,
the process that started it, threads for the networks, and whether the system is to end it with the thread that did.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import NoReturn

from fastrestore.errors import JobError
from fastrestore.runtime.fleet.loop import WorkerLoop
from fastrestore.runtime.fleet.order import Report

_PR_SET_PDEATHSIG = 1


class Line:
    """The socket to whoever started the process. When that is gone, so is the process.

    Args:
        connection: The socket.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def say(self, report: Report) -> None:
        """Send a report."""
        with self._sending:
            try:
                self._connection.send(report)
            except OSError:
                os._exit(0)

    def listen(self, loop: WorkerLoop) -> None:
        """Pass on what arrives, for ever."""
        while True:
            try:
                loop.tell(self._connection.recv())
            except (EOFError, OSError):
                os._exit(0)  # nobody is there to make anything for; what is half done is nobody's either


def main() -> NoReturn:
    """Be a worker."""
    descriptor, parent, threads, bound = map(int, sys.argv[1:])
    if bound:
        _die_with(parent)
    for number in (signal.SIGINT, signal.SIGHUP):  # meant for the whole group; the coordinator sees to it
        signal.signal(number, signal.SIG_IGN)
    line = Line(Connection(descriptor))
    loop = WorkerLoop(line.say, threads, _leave)
    threading.Thread(target=line.listen, args=(loop,), name="fastrestore-orders", daemon=True).start()
    loop.run()


def _die_with(parent: int) -> None:
    """Have the system end this process with the thread that started it, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was quicker
        os._exit(0)


def _leave(error: JobError) -> None:
    print(f"a worker gives up: {error.message}", file=sys.stderr, flush=True)  # noqa: T201 - nobody else can tell
    os._exit(1)


if __name__ == "__main__":
    main()
