"""What is made of a film, and the making of it in this process, one segment after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from fastrestore.config import ConvertOptions
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.engine import BackendChoice
from fastrestore.runtime.journal import MADE, Record
from fastrestore.runtime.media.card_reading import CardReading
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.plan import WorkPlan, make_plan
from fastrestore.runtime.report import STAGES, OnProgress, Progress, StageClock
from fastrestore.runtime.resume import Entered
from fastrestore.runtime.segments import Passed, Recipe, SegmentMaker
from fastrestore.runtime.source import Source
from fastrestore.runtime.timeline import Rules, SegmentStart, TimelineStats
from fastrestore.runtime.treatments.film_work import FilmWork, treated_info
from fastrestore.runtime.treatments.treating import Treating
from fastrestore.runtime.work import Mark
from fastrestore.runtime.workfolder import WorkFolder

FAULT = "source: "
"""What a warning begins with that tells of a fault of the source."""


@dataclass(frozen=True, slots=True)
class Making:
    """What is made of a film."""

    source: Source
    plan: WorkPlan
    options: ConvertOptions

    @classmethod
    def of(cls, reader: VideoReader, options: ConvertOptions, folder: Path | None = None) -> Making:
        """Return what is made of a file.

        Args:
            reader: The file.
            options: What is asked for.
            folder: The work folder, where what was seen of the file may be.

        Raises:
            UsageError: If an option cannot be met with it.
        """
        source = Source.of_file(reader, options.film, folder)
        return cls(source, make_plan(treated_info(source.info, options.film), options), options)

    @property
    def rules(self) -> Rules:
        """How the instants of the film are chosen."""
        options = self.options
        return Rules(options.keep_holds, options.end, self.plan.source.near, options.spans)

    @property
    def shift(self) -> Fraction:
        """Seconds of the source that become 0 in the output."""
        return Fraction(0) if self.options.start is None else self.source.first_pts

    @property
    def track(self) -> VideoTrack:
        """The video that is made."""
        plan, reader = self.plan, self.source.reader
        matrix = reader.display_matrix if reader else None
        begin = self.source.first_pts - self.shift
        return VideoTrack(plan.size, plan.format, plan.colour, plan.source, plan.rate, begin, matrix)

    @property
    def recipe(self) -> Recipe:
        """How segments are made."""
        return Recipe(self.track, self.options.encode, self.shift, self.options.verify)

    @property
    def expected(self) -> int | None:
        """How many frames the output will have by the source's header, or None."""
        return expected_frames(self.plan, self.options, self.source.first_pts)

    @contextmanager
    def entered(
        self, record: Record, treating: Treating | None, *, again: bool, card: CardReading | None = None
    ) -> Iterator[Entered]:
        """Read from the first segment that is missing on.

        Args:
            record: What is there already.
            treating: What is done to the frames before they are restored.
            again: Whether the source has been read before, and must be opened once more.
            card: How pictures are made that stay on a card; None reads them to the host.

        Raises:
            JobError: If the source is not what it was.
            DecodeError: If it cannot be read.
        """
        start = start_of_missing(record)
        opening, sequential = (start.opening, record.done[-1].sequential) if start else (None, False)
        with ExitStack() as stack:
            source = self.source
            if card is not None:
                source = stack.enter_context(source.on_card(card))
            elif again:
                source = stack.enter_context(source.again())
            yield stack.enter_context(source.entered(opening, treating, sequential=sequential))


@dataclass(frozen=True, slots=True)
class Account:
    """What there is to tell of the making."""

    busy_s: Mapping[str, float]
    """Busy seconds of each stage."""
    warnings: tuple[str, ...] = ()


class Maker(Protocol):
    """Makes segments: this process, or workers."""

    @property
    def ops(self) -> Ops:
        """Pixel kernels of this process."""
        ...

    @property
    def backend(self) -> str:
        """What the networks run on, in words; empty if there is none."""
        ...

    @property
    def reason(self) -> str:
        """Why it was taken."""
        ...

    @property
    def identity(self) -> str:
        """By what it is known to a run that goes on; see `BackendChoice.identity`."""
        ...

    def make(
        self, work: WorkFolder, record: Record, film_work: FilmWork | None, on_progress: OnProgress | None
    ) -> Account:
        """Make all segments that are missing.

        Raises:
            FastRestoreError: If anything fails; what was finished is on record.
        """
        ...


class InLine:
    """Makes segments in this process, one after the other. See `Maker`.

    Args:
        making: What is made.
        stages: What it is made with.
        choice: What the networks run on, if there are any.
    """

    def __init__(self, making: Making, stages: Stages, choice: BackendChoice | None) -> None:
        self._making, self._stages = making, stages
        self.ops: Ops = stages.ops
        self.backend, self.reason = (choice.backend.describe(), choice.reason) if choice else ("", "")
        self.identity = choice.identity if choice else ""

    def make(
        self, work: WorkFolder, record: Record, film_work: FilmWork | None, on_progress: OnProgress | None
    ) -> Account:
        """See `Maker.make`."""
        making, stages = self._making, self._stages
        shown = Shown(making.expected, record.frames, on_progress)
        again = False
        if film_work is not None:
            stages = film_work.joined_to(stages)
        treating = None if film_work is None else film_work.treating
        while not record.whole:
            with ExitStack() as stack:
                entered = stack.enter_context(making.entered(record, treating, again=again, card=stages.card))
                start = start_of_missing(record)
                pipeline = FramePipeline(stages, entered.frames, making.plan.rate, making.rules, start)
                if treating is not None:
                    treating.clock = pipeline.clock
                recipe = replace(making.recipe, on_card=stages.steps.hands_over)
                maker = stack.enter_context(SegmentMaker(work, record, recipe, pipeline.clock))
                tally = Tally(pipeline, stages, record, entered.reader, treating, restores=making.plan.restores)
                frames = stack.enter_context(closing(pipeline.marked()))
                stack.callback(shown.end_of_run, pipeline.clock)
                maker.make(frames, tally.passed, partial(shown.frame_of, pipeline.clock))
            again = True
        return Account(shown.busy_s)


def start_of_missing(record: Record) -> SegmentStart | None:
    """Return where the first segment begins that is missing; None for the film's first."""
    return record.done[-1].next if record.done else None


class Shown:
    """Tells how far a run is.

    Args:
        expected: Output frames expected, or None.
        earlier: Frames that an earlier run had encoded.
        on_progress: Is told, or None.
    """

    def __init__(self, expected: int | None, earlier: int, on_progress: OnProgress | None) -> None:
        self._expected, self._earlier, self._on_progress = expected, earlier, on_progress
        self._begun = time.perf_counter()
        self._frames = 0
        self.busy_s: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        """Busy seconds of each stage, of what has ended."""

    def frame_of(self, clock: StageClock) -> None:
        """Count a finished frame of what is being made."""
        self._frames += 1
        self.tell(clock.seconds())

    def end_of_run(self, clock: StageClock) -> None:
        """Add the time of what has ended."""
        self.add(0, clock.seconds())

    def add(self, frames: int, busy_s: Mapping[str, float]) -> None:
        """Add finished frames and time; fewer frames than none where some of them were made in vain."""
        self._frames += frames
        self.busy_s = {stage: seconds + busy_s.get(stage, 0.0) for stage, seconds in self.busy_s.items()}

    def tell(self, busy_s: Mapping[str, float] = MappingProxyType({})) -> None:
        """Tell how far the run is.

        Args:
            busy_s: Busy seconds of what has not ended.
        """
        if self._on_progress is not None:
            busy = {stage: seconds + busy_s.get(stage, 0.0) for stage, seconds in self.busy_s.items()}
            frames, elapsed = self._earlier + self._frames, time.perf_counter() - self._begun
            self._on_progress(Progress(frames, self._expected, elapsed, busy, self._earlier))


class Tally:
    """Counts what lies behind each segment, for the journal and the report.

    Args:
        pipeline: Makes the frames.
        stages: What it is built from.
        record: What was there before it began.
        reader: Reads the source, or None.
        treating: What is done to frames before they are restored, if anything.
        restores: Whether pictures change before they are encoded.
    """

    def __init__(
        self,
        pipeline: FramePipeline,
        stages: Stages,
        record: Record,
        reader: VideoReader | None,
        treating: Treating | None,
        *,
        restores: bool,
    ) -> None:
        self._pipeline, self._stages, self._reader, self._restores = pipeline, stages, reader, restores
        self._treating = treating
        self._runs = stages.steps.runs
        self._last = (0, 0)
        first = start_of_missing(record)
        self._instant = 0 if first is None else first.instant
        self._was_sequential = bool(record.done and record.done[-1].sequential)

    def passed(self, mark: Mark | None) -> Passed:
        """Return what lies behind a mark, or behind the last frame."""
        start = None if mark is None else mark.start
        if mark is None:
            made = self._stages.steps.runs - self._runs, self._pipeline.synthesized
        else:
            made = mark.restored if self._restores else 0, mark.synthesized
        since = [now - last for now, last in zip(made, self._last, strict=True)]
        self._last = made
        passed = passed_by(start, self._pipeline.stats, self._reader, sequential=self._was_sequential)
        treated = {} if self._treating is None else self._treating.take_counts(passed.source_end)
        warnings = (*passed.warnings, *self._stages.steps.warnings)
        between = str(self._pipeline.take_between(self._instant, None if start is None else start.instant))
        self._instant = self._instant if start is None else start.instant
        made_since = dict(zip(MADE, since, strict=True))
        return replace(passed, warnings=warnings, treated=treated, made=made_since, between=between)


def passed_by(
    start: SegmentStart | None, stats: TimelineStats, reader: VideoReader | None, *, sequential: bool
) -> Passed:
    """Return what is known from the source alone of what lies before a segment.

    Args:
        start: The segment; None asks for the end of the film.
        stats: What the timeline has seen.
        reader: Reads the source, or None.
        sequential: Whether the source had faults before it was entered.
    """
    if start is None:
        counts = stats.source_frames, stats.cuts, stats.held_frames
    else:
        counts = start.opening.index, start.cuts, start.held_frames
    totals: Mapping[str, int] = dict(zip(("source_frames", "cuts", "held_frames"), counts, strict=True))
    warnings: tuple[str, ...] = ()
    if reader is not None:
        notes = reader.notes
        sequential = sequential or bool(notes.repaired_timestamps or notes.faults.counts)
        warnings = (*notes.warnings, *(FAULT + text for text in notes.faults.words()))
    return Passed(start, counts[0], sequential, totals, warnings)


def expected_frames(plan: WorkPlan, options: ConvertOptions, first_pts: Fraction) -> int | None:
    """Return how many frames the output will have by the source's header, or None if it does not say.

    Args:
        plan: The plan.
        options: With the range, on the source's clock.
        first_pts: Seconds of the first frame in the range.
    """
    length = plan.source.duration
    if options.start is not None and length is not None:
        length -= options.start  # a file's clock nearly always begins at 0; where not, this is an estimate
    if options.end is not None:
        in_range = options.end - first_pts
        length = in_range if length is None else min(length, in_range)
    if length is None or length <= 0:
        return None
    if plan.rate is not None:
        return math.ceil(length * plan.rate)
    whole = options.start is None and options.end is None
    return plan.source.frame_count if whole else None
