"""Workers that make the segments of films, one film after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count

from fastrestore.errors import UsageError
from fastrestore.kernels.ops import Ops, open_ops
from fastrestore.runtime.fleet.coordinator import Coordinator, Fleet, Limits
from fastrestore.runtime.fleet.ledger import Ledger
from fastrestore.runtime.fleet.order import Order
from fastrestore.runtime.fleet.policy import Policy
from fastrestore.runtime.fleet.scanning import Scanning
from fastrestore.runtime.identity import identity
from fastrestore.runtime.journal import Record
from fastrestore.runtime.making import Account, Making, Shown
from fastrestore.runtime.plan import needed_bytes
from fastrestore.runtime.report import OnProgress
from fastrestore.runtime.treatments.film_work import FilmWork
from fastrestore.runtime.workfolder import WorkFolder

_GRACE_S = 2.0


class Crew:
    """The workers of a fleet, kept from one film to the next. Films take turns, whatever thread they come from.

    Args:
        fleet: The workers; whoever made it closes it.
        limits: How much is put up with.
        policy: How much is tried.
    """

    def __init__(self, fleet: Fleet, limits: Limits | None = None, policy: Policy | None = None) -> None:
        self._fleet, self._limits, self._policy = fleet, limits, policy
        self._turn = threading.Lock()
        self._films = count()

    @property
    def description(self) -> str:
        """Who they are, in words."""
        return self._fleet.description

    def _require_memory(self, making: Making) -> None:
        """Refuse what would need more memory on this machine than is allowed: each worker has pictures of its own.

        Raises:
            UsageError: If it would.
        """
        most, workers = making.options.max_memory, self._fleet.beside
        needed = workers * needed_bytes(making.plan, making.options.tile)
        if most is not None and needed > most:
            raise UsageError(
                f"{workers} workers need about {needed >> 20} MiB of memory, and `--max-memory` allows {most >> 20}",
                "use fewer `--workers`, a smaller `--to` or `--tile`, or allow more",
            )

    @contextmanager
    def at_work(self, making: Making, work: WorkFolder, preferred: Mapping[str, str] | None) -> Iterator[CrewAtWork]:
        """Have the workers open a film.

        Args:
            making: What is made of it, with the encoder's threads fixed.
            work: Its work folder, held by this process.
            preferred: The settings of the run that is to go on, if one is.

        Raises:
            UsageError: If the film does not come from a file, or the workers need more memory than is allowed.
            FastRestoreError: If no worker can open it.
        """
        reader = making.source.reader
        if reader is None:
            raise UsageError("workers need a file: each reads its own part of it", "write the frames to a file first")
        self._require_memory(making)
        with self._turn:
            work.clear_parts()
            threads = making.options.encode.threads
            order = Order.of(next(self._films), reader, work.path, making.options, threads)
            coordinator = Coordinator(self._fleet, order, identity(reader.path), self._limits, self._policy)
            try:
                yield CrewAtWork(coordinator, self._fleet, making, preferred)
            except BaseException:
                coordinator.dismiss_busy()
                raise
            coordinator.dismiss_busy(_GRACE_S)


class CrewAtWork:
    """A crew and its film. See `Maker`.

    Args:
        coordinator: Of the film.
        fleet: Whose workers they are.
        making: What is made.
        preferred: The settings of the run that is to go on, if one is.
    """

    def __init__(
        self, coordinator: Coordinator, fleet: Fleet, making: Making, preferred: Mapping[str, str] | None
    ) -> None:
        self._coordinator, self._fleet, self._making = coordinator, fleet, making
        facts = coordinator.open(preferred)
        self.ops: Ops = open_ops("cpu")
        self.backend, self.reason = facts.backend, facts.backend_reason
        self.identity = facts.settings["backend"]

    def make(
        self, work: WorkFolder, record: Record, film_work: FilmWork | None, on_progress: OnProgress | None
    ) -> Account:
        """See `Maker.make`."""
        ledger = Ledger(work, record)
        shown = Shown(self._making.expected, record.frames, on_progress)
        film = None if film_work is None else film_work.treating.film
        with Scanning(self._making, record, film, self.ops, self._fleet.reports):
            self._coordinator.make(ledger, shown)
        return Account(shown.busy_s, (*self._coordinator.notes, *ledger.warnings))
