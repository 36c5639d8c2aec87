"""Makes segments of a film, any of them and in any order, each into a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from fastrestore.runtime.engine_pool import EnginePool
from fastrestore.runtime.fleet.order import Assignment, Facts, Made, Order
from fastrestore.runtime.fleet.reading import Reading
from fastrestore.runtime.fleet.surroundings import processor
from fastrestore.runtime.identity import header_for
from fastrestore.runtime.journal import MADE
from fastrestore.runtime.making import Making
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.media.segment import Encoded, SegmentWriter
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.media.watchdog import Watchdog
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.report import StageClock
from fastrestore.runtime.segments import prove
from fastrestore.runtime.stages import open_stages
from fastrestore.runtime.treatments.film_work import open_film_work


class StoppedError(Exception):
    """A segment was given up because nobody needs it any more. Never seen outside a worker."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A segment that is encoded, and not proved yet."""

    assignment: Assignment
    encoded: Encoded
    clock: StageClock
    made: dict[str, int]
    treated: dict[int, dict[str, float]]
    between: str


class SegmentWorker:
    """Makes segments of one film. Use it in a `with` statement.

    Args:
        order: The film.
        engines: Lends the networks, so that the next film finds them open.
        threads: Threads for the networks; 0 uses every core.
        watchdog: Watches over calls that might never come back.
    """

    def __init__(self, order: Order, engines: EnginePool, threads: int, watchdog: Watchdog) -> None:
        self._order, self._engines, self._threads, self._watchdog = order, engines, threads, watchdog
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Open the film and the networks.

        Raises:
            FastRestoreError: If one of them cannot be opened.
        """
        try:
            self._begin()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def _begin(self) -> None:
        order = self._order
        options = order.encoding
        with VideoReader(
            order.source,
            start=options.start,
            end=options.end,
            on_error=options.on_error,
            max_memory=options.max_memory,
            watchdog=self._watchdog,
        ) as reader:
            self._making = making = Making.of(reader, options, order.folder)
        threaded = replace(options, threads=self._threads or options.threads)
        stages, choice = self._open.enter_context(open_stages(making.plan, threaded, self._engines))
        film_work = open_film_work(
            making.source, options.film, order.folder, stages.ops, restored=bool(making.plan.chain)
        )
        self._treating = None if film_work is None else film_work.treating
        self._stages = stages if film_work is None else film_work.joined_to(stages)
        source = replace(making.source, card=stages.card)
        if stages.card is not None:
            self._open.callback(stages.card.forsake)
        self._reading = self._open.enter_context(closing(Reading(source, self._treating)))
        header = header_for(making.plan, order.options, choice.identity if choice else "", order.source)
        backend, reason = (choice.backend.describe(), choice.reason) if choice else ("", "")
        self.facts = Facts(order.film, header.settings, header.source, backend, reason, processor())

    def encode(self, assignment: Assignment, on_frame: Callable[[], object]) -> Draft:
        """Make the frames of a segment and encode them.

        Args:
            assignment: The segment.
            on_frame: Called after every frame; what it raises ends the work.

        Raises:
            FastRestoreError: If it fails.
        """
        making, steps = self._making, self._stages.steps
        frames = self._reading.at(assignment.start, sequential=assignment.sequential)
        pipeline = FramePipeline(
            self._stages, frames, making.plan.rate, making.rules, assignment.start, one_segment=True
        )
        if self._treating is not None:
            self._treating.clock = pipeline.clock
        before = steps.runs
        self._treated(assignment.start.opening.index)  # what was read past belongs to segments of others
        part, recipe = self._part(assignment), making.recipe
        with writing(part):
            part.unlink(missing_ok=True)  # it may be a link, which FFmpeg would follow
        with (
            closing(pipeline.marked()) as finished,
            SegmentWriter(
                part, recipe.track, recipe.encode, after=assignment.after, on_card=steps.hands_over
            ) as writer,
        ):
            for frame, _ in finished:
                with pipeline.clock.busy("encode"):
                    writer.write(replace(frame, pts=frame.pts - recipe.shift))
                on_frame()
            with pipeline.clock.busy("encode"):
                encoded = writer.finish()
        counts = dict(zip(MADE, (steps.runs - before, pipeline.synthesized), strict=True))
        between = str(pipeline.take_between(assignment.start.instant))
        return Draft(assignment, encoded, pipeline.clock, counts, self._treated(assignment.source_end), between)

    def prove(self, draft: Draft) -> Made:
        """Read an encoded segment back and hold it against what went in. May run beside `encode` of the next one.

        Raises:
            EncodeError: If it does not hold that.
        """
        assignment = draft.assignment
        with draft.clock.busy("verify"):
            proved = prove(self._part(assignment), draft.encoded, self._making.recipe)
        return Made(
            assignment.film,
            assignment.number,
            assignment.part,
            proved,
            draft.made,
            draft.clock.seconds(),
            tuple(self._stages.steps.warnings),
            draft.treated,
            draft.between,
        )

    def discard(self, assignment: Assignment) -> None:
        """Remove whatever was written of a segment."""
        part = self._part(assignment)
        with writing(part):
            part.unlink(missing_ok=True)

    def _treated(self, end: int) -> dict[int, dict[str, float]]:
        """Return, once, what was done to the source frames before number `end`, by shot."""
        counts = {} if self._treating is None else self._treating.take_counts(end)
        return {shot: dict(row) for shot, row in counts.items()}

    def _part(self, assignment: Assignment) -> Path:
        return self._order.folder / assignment.part
