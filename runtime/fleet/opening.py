"""Opens the workers that were asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastrestore.errors import UsageError
from fastrestore.runtime.devices.driver import driver
from fastrestore.runtime.fleet.crew import Crew
from fastrestore.runtime.fleet.local import LocalFleet, own_cores
from fastrestore.runtime.fleet.share import divide

MOST_WORKERS = 256


@dataclass(frozen=True, slots=True)
class Helpers:
    """The workers that were asked for."""

    workers: int | None = 1
    """How many; None: one for each card of the machine, or for each card or machine of a cluster."""
    cluster: str | None = None
    """Address of a Ray cluster, or `auto`; None: this machine."""
    threads: int = 0
    """Threads for the networks of each; 0: as many as it has cores."""


def parse_helpers(workers: str, cluster: str | None, threads: int) -> Helpers:
    """Parse the words of the command line.

    Args:
        workers: A number, or `auto`.
        cluster: An address, or None.
        threads: For the networks of each.

    Raises:
        UsageError: If it is neither.
    """
    if workers == "auto" or (workers == "1" and cluster is not None):
        return Helpers(None, cluster, threads)
    if workers.isascii() and workers.isdigit() and 1 <= int(workers) <= MOST_WORKERS:
        return Helpers(int(workers), cluster, threads)
    raise UsageError(f"`--workers {workers}` is not understood", f"use `auto`, or 1 to {MOST_WORKERS}")


@contextmanager
def open_crew(helpers: Helpers) -> Iterator[Crew | None]:
    """Have workers for as long as the context lasts.

    Yields:
        The workers, or None if this process is to make everything.

    Raises:
        JobError: If the cluster cannot be reached.
    """
    if helpers.cluster is not None:
        from fastrestore.runtime.fleet.ray_fleet import RayFleet

        with RayFleet(helpers.cluster, helpers.workers, helpers.threads) as cluster:
            yield Crew(cluster)
        return
    cards = () if helpers.workers == 1 else _cards()
    count = max(1, len(cards)) if helpers.workers is None else helpers.workers
    if count == 1:
        yield None
        return
    with LocalFleet(divide(count, own_cores(), cards, helpers.threads)) as fleet:
        yield Crew(fleet)


def _cards() -> tuple[str, ...]:
    """Return the cards of this machine, as `CUDA_VISIBLE_DEVICES` has them."""
    found = driver()
    if isinstance(found, str):
        return ()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(named[: len(found.cards)]) or tuple(str(card.index) for card in found.cards)
