"""Looks through the source in a thread of its own, ahead of the workers."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Self

from fastrestore.kernels.ops import Ops
from fastrestore.kernels.translate import computing
from fastrestore.runtime.fleet.scan import Stretch, scan
from fastrestore.runtime.journal import Record
from fastrestore.runtime.making import Making
from fastrestore.runtime.treatments.treatment import Film


@dataclass(frozen=True, slots=True)
class Scanned:
    """A segment was found."""

    stretch: Stretch


@dataclass(frozen=True, slots=True)
class ScanEnded:
    """There are no more, or the source could not be read."""

    found: Future[None]
    """Raises what went wrong."""


class Scanning:
    """Puts the segments of a film into a queue as they are found, and last of all that there are no more.

    Use it in a `with` statement: leaving it ends the thread.

    Args:
        making: What is made.
        record: What is there already.
        film: What was found when the film was looked over, if it was.
        ops: Pixel kernels.
        reports: Where to put what is found.
    """

    def __init__(
        self, making: Making, record: Record, film: Film | None, ops: Ops, reports: SimpleQueue[tuple[str, object]]
    ) -> None:
        self._making, self._film, self._ops, self._reports = making, film, ops, reports
        # The record grows while the source is being read: what is missing now is what counts.
        self._record = Record(record.header, list(record.done))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fastrestore-scan")
        self._halted = threading.Event()

    def __enter__(self) -> Self:
        found = self._thread.submit(self._scan)
        found.add_done_callback(lambda done: self._reports.put(("", ScanEnded(done))))
        return self

    def __exit__(self, *exc: object) -> None:
        self._halted.set()
        self._thread.shutdown(wait=True)

    def _scan(self) -> None:
        with computing():
            for stretch in scan(self._making, self._record, self._film, self._ops, self._halted.is_set):
                self._reports.put(("", Scanned(stretch)))
