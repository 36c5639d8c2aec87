"""Notices calls into a library that never come back.

C code cannot be interrupted from Python: a decoder that runs in circles on a damaged packet holds its thread for ever.
Another thread watches how long calls take, and says so. What is done about it is the caller's choice: the command line
prints the error and leaves the process, for its work folder can be resumed; a program that waits for the stuck
thread's result gets the error there instead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from fastrestore.errors import JobError

PATIENCE_S = 60.0
"""Seconds after which a call is given up; the slowest packet of any intact film takes a few."""
_LOOKS_PER_PATIENCE = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Call:
    what: str
    since: float


class Watchdog:
    """Watches calls made in any thread, from `start` to `close`. Without `start` it only keeps count.

    Args:
        patience_s: Seconds after which a call is taken to hang.
        on_stall: Called once, in the watching thread, with the error.
        clock: Seconds, rising.
    """

    def __init__(
        self,
        patience_s: float = PATIENCE_S,
        on_stall: Callable[[JobError], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience_s, self._on_stall, self._clock = patience_s, on_stall, clock
        self._calls: dict[int, _Call] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._stalled: Future[None] = Future()

    @contextmanager
    def call(self, what: str) -> Iterator[None]:
        """Watch the calls made inside, in this thread; `what` says what is being done, such as `decoding a.mkv`."""
        thread = threading.get_ident()
        outer = self._calls.get(thread)
        self._calls[thread] = _Call(what, self._clock())
        try:
            yield
        finally:
            if outer is None:
                self._calls.pop(thread, None)
            else:
                self._calls[thread] = outer

    def look(self) -> JobError | None:
        """Return the error of a call that takes too long, or None; the first time, `on_stall` is told."""
        now = self._clock()
        stuck = next((call for call in list(self._calls.values()) if now - call.since > self._patience_s), None)
        if stuck is None:
            return None
        error = JobError(
            f"no progress for {self._patience_s:.0f} s while {stuck.what}",
            "the file makes the decoder run in circles, or its disk no longer answers; "
            "convert what is before with `--end`, or copy the file to another disk",
        )
        if not self._stalled.done():
            self._stalled.set_exception(error)
            if self._on_stall is not None:
                self._on_stall(error)
        return error

    def result(self, future: Future[T]) -> T:
        """Return a future's result, or raise the stall that keeps it from coming.

        Raises:
            JobError: If a watched call hangs.
        """
        either: tuple[Future[Any], ...] = (future, self._stalled)
        wait(either, return_when=FIRST_COMPLETED)
        if not future.done():
            self._stalled.result()
        return future.result()

    def start(self) -> Self:
        """Begin to watch, in a thread of its own. Starting twice is fine."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="fastrestore-watchdog", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """Stop watching. Closing twice is fine."""
        self._closed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _watch(self) -> None:
        while not self._closed.wait(self._patience_s / _LOOKS_PER_PATIENCE):
            if self.look() is not None:
                return
