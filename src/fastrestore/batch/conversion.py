"""One attempt at one file of a batch: skipped if it is done, else converted when it is its turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from fastrestore.api import open_source, plan_job
from fastrestore.batch.order import Place
from fastrestore.batch.outcome import Item, Outcome, Result
from fastrestore.batch.standing import State, clear_up, require_replaceable, standing_of
from fastrestore.config import memory_bytes
from fastrestore.errors import JobError
from fastrestore.runtime.engine_pool import EnginePool
from fastrestore.runtime.fleet.crew import Crew
from fastrestore.runtime.job import Job, check_output
from fastrestore.runtime.making import expected_frames
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.media.watchdog import Watchdog
from fastrestore.runtime.plan import needed_bytes
from fastrestore.runtime.report import Progress


class Observer(Protocol):
    """Is told how an attempt goes on, in the threads that make it."""

    def planned(self, plan: Mapping[str, str], expected: int | None) -> None:
        """Take what is about to be done, and how many frames the output will have, if the source's header tells."""
        ...

    def progressed(self, progress: Progress) -> None:
        """Take how far it is.

        Raises:
            JobCancelledError: If it is to end.
        """
        ...

    def stalled(self, error: JobError) -> None:
        """Take that a thread of it is stuck in a library, and may stay so."""
        ...


@dataclass(frozen=True, slots=True)
class Conversion:
    """One attempt at one file."""

    item: Item
    place: Place
    """Its place among those under way."""
    pool: EnginePool
    alone: bool = False
    """Whether nothing else may run beside it."""
    skip_done: bool = True
    """Whether the output is left alone if it is what would be made."""
    crew: Crew | None = None
    """Workers that make the segments, or None."""

    def run(self, observer: Observer) -> Outcome:
        """Make the attempt.

        Raises:
            FastRestoreError: If it failed.
        """
        item = self.item
        if self.skip_done:
            standing = standing_of(item.source, item.output, item.options)
            if standing.state is State.DONE:
                clear_up(item.output)
                return Outcome(item, Result.SKIPPED, standing.frames)
            require_replaceable(standing, item.output, item.options)
        with writing(item.output.parent):
            item.output.parent.mkdir(parents=True, exist_ok=True)
        self.place.queue_up()  # not before: looking at a large output takes its time, and others need not wait for it
        with (
            Watchdog(on_stall=observer.stalled) as watchdog,
            open_source(item.source, item.options, watchdog) as reader,
        ):
            job = plan_job(reader, item.output, item.options)
            job = replace(job, source=replace(job.source, turn=self.place), engines=self.pool, crew=self.crew)
            return self._made(job.tuned(), observer)

    def _made(self, job: Job, observer: Observer) -> Outcome:
        options, plan = job.options, job.plan
        observer.planned(job.describe(), expected_frames(plan, options, job.source.first_pts))
        most = options.max_memory or memory_bytes()
        needed = most if self.alone else needed_bytes(plan, options.tile)
        with self.place.inside(needed, most):
            if self.alone:
                self.pool.close_idle()
            report = job.run(observer.progressed)
        report.wall_s -= self.place.waited_s
        return Outcome(self.item, Result.DONE, report.output_frames, report=report)


def rehearse(item: Item, *, skip_done: bool) -> tuple[Outcome, Mapping[str, str]]:
    """Return what would become of a file, and what would be done in words. Nothing is written.

    Raises:
        FastRestoreError: If it could not be converted.
    """
    if skip_done:
        standing = standing_of(item.source, item.output, item.options)
        if standing.state is State.DONE:
            return Outcome(item, Result.SKIPPED, standing.frames), {}
        require_replaceable(standing, item.output, item.options)
    if item.output.parent.is_dir():
        check_output(item.output, item.options, item.source)
    with open_source(item.source, item.options) as reader:
        job = plan_job(reader, item.output, item.options).tuned()
        expected = expected_frames(job.plan, job.options, job.source.first_pts)
        return Outcome(item, Result.NOT_BEGUN, expected or 0), job.describe()
