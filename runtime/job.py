"""One conversion from source to finished file: complete and verified under its name, or not there at all."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

from fastrestore.config import ConvertOptions
from fastrestore.errors import EncodeError, JobError, UsageError
from fastrestore.files import sync, sync_names
from fastrestore.kernels.ops import Ops
from fastrestore.kernels.translate import computing
from fastrestore.runtime.engine_pool import EnginePool
from fastrestore.runtime.identity import header_for
from fastrestore.runtime.joining import Film, check_company, join
from fastrestore.runtime.journal import Finished, Record, treated_counts
from fastrestore.runtime.media.containers import require_fit
from fastrestore.runtime.media.encoders import find_encoder
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.pipeline import FramePipeline, Mark, Stages
from fastrestore.runtime.plan import WorkPlan, describe
from fastrestore.runtime.report import Progress, RunReport
from fastrestore.runtime.segments import Passed, Recipe, SegmentMaker, segment_files, whole_segments
from fastrestore.runtime.source import Source
from fastrestore.runtime.stages import largest_inputs, open_stages
from fastrestore.runtime.timeline import Rules
from fastrestore.runtime.treatments.film_work import FilmWork, open_film_work
from fastrestore.runtime.treatments.treating import Treating
from fastrestore.runtime.workfolder import WorkFolder, folder_for

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One conversion."""

    source: Source
    output: Path
    plan: WorkPlan
    options: ConvertOptions
    engines: EnginePool | None = None
    """Lends the engines, where several runs share them; None opens them for this run."""

    def run(self, on_progress: OnProgress | None = None) -> RunReport:
        """Convert, or go on with what an interrupted run of the same job has left.

        Returns:
            What was done.

        Raises:
            FastRestoreError: If anything fails; then there is no file under the output's name, and what was finished
                waits in the work folder.
        """
        source, output = self.source, self.output
        check_output(output, self.options, source.reader.path if source.reader else None)
        started = time.perf_counter()
        work = WorkFolder(output)
        with work.held():
            with self._kept_if_useful(work), computing():
                _refuse_existing(output, self.options)  # another run may have finished it just before
                report = self._make(work, on_progress)
            work.remove()
        report.wall_s = time.perf_counter() - started
        return report

    def pipeline(self, stages: Stages) -> FramePipeline:
        """Return the pipeline over the whole source, not begun."""
        return FramePipeline(stages, self.source.frames, self.plan.rate, self._rules)

    def describe(self) -> dict[str, str]:
        """Return the plan in words."""
        name = self.source.reader.path.name if self.source.reader else "frames"
        expected = expected_frames(self.plan, self.options, self.source.first_pts)
        lines = describe(self.plan, self.options, expected, largest_inputs(self.plan, self.options))
        return {"file": f"{name} -> {self.output}", **lines}

    @property
    def _rules(self) -> Rules:
        options = self.options
        return Rules(options.keep_holds, options.end, self.plan.source.near, options.spans)

    @contextmanager
    def _kept_if_useful(self, work: WorkFolder) -> Iterator[None]:
        """On a failure, keep the work folder only if a later run can go on with it."""
        try:
            yield
        except BaseException:
            if self.source.reader is None or not _worth_keeping(work):
                work.remove()
            raise

    def _make(self, work: WorkFolder, on_progress: OnProgress | None) -> RunReport:
        source = self.source
        report = RunReport(str(source.reader.path) if source.reader else "frames", str(self.output), self.describe())
        film = Film(self.output, self._track, self.plan, self.options, self._shift, source.reader)
        check_company(film)
        with open_stages(self.plan, self.options, self.engines) as (stages, choice):
            if choice is not None:
                report.backend, report.backend_reason = choice.backend.describe(), choice.reason
            record = self._record(work, choice.identity if choice else "")
            if record.finished is not None:
                return _taken_up(work, self.output, record.finished)
            report.resumed_segments = len(record.done)
            film_work = self._film_work(work, stages.ops, on_progress)
            if not record.done or record.done[-1].next is not None:
                self._make_segments(work, record, stages, film_work, report, on_progress)
        if film_work is not None:
            report.film = film_work.report(treated_counts(record))
        totals = record.done[-1].totals
        for name in _COUNTS:
            setattr(report, name, totals.get(name, 0))
        report.warnings += record.done[-1].warnings
        report.segments = len(record.done)
        with writing(work.joined):
            work.joined.unlink(missing_ok=True)  # it may be a link, which FFmpeg would follow
        joined = join(work.joined, segment_files(work, record), film)
        report.output_frames, report.copied_tracks = joined.frames, joined.tracks.copied
        report.warnings += [f"left out: {text}" for text in joined.tracks.left_out]
        report.output_bytes = work.joined.stat().st_size
        self._name(work, report)
        return report

    def _record(self, work: WorkFolder, backend: str) -> Record:
        """Return what an earlier run has left, as far as it is whole; else begin a record.

        Raises:
            JobError: If that run was another one.
        """
        reader = self.source.reader
        header = header_for(self.plan, self.options, backend, reader.path if reader else None)
        record = work.journal.read() if reader is not None and not self.options.restart else None
        if record is None or not record.done:
            work.clear()
            return work.journal.begin(header)
        if differing := _differing(record.header.settings, header.settings):
            raise JobError(
                f"the unfinished work on {self.output} was begun with other settings ({differing})",
                "use the same ones to go on, or add `--restart` to begin anew",
            )
        if record.header.source != header.source:
            raise JobError(
                f"{reader.path if reader else 'the source'} has changed since the work on {self.output} was begun",
                "add `--restart` to begin anew",
            )
        if record.finished is not None and _finished_file(work, self.output, record.finished) is not None:
            return record
        whole = whole_segments(work, record)
        if whole < len(record.done) or record.finished is not None:
            work.journal.keep(record, whole)
        return record

    def _make_segments(
        self,
        work: WorkFolder,
        record: Record,
        stages: Stages,
        film_work: FilmWork | None,
        report: RunReport,
        on_progress: OnProgress | None,
    ) -> None:
        recipe = Recipe(self._track, self.options.encode, self._shift, self.options.verify)
        earlier = sum(len(done.stamps) for done in record.done)
        expected = expected_frames(self.plan, self.options, self.source.first_pts)
        begun = time.perf_counter()
        with ExitStack() as stack:
            start = record.done[-1].next if record.done else None
            opening, sequential = (start.opening, record.done[-1].sequential) if start else (None, False)
            treating = None if film_work is None else film_work.treating
            entered = stack.enter_context(self.source.entered(opening, treating, sequential=sequential))
            if film_work is not None and film_work.finishes:
                stages = replace(stages, finish=film_work.finished)
            pipeline = FramePipeline(stages, entered.frames, self.plan.rate, self._rules, start)
            maker = stack.enter_context(SegmentMaker(work, record, recipe, pipeline.clock))
            tally = _Tally(pipeline, stages, record, entered.reader, treating, restores=self.plan.restores)
            shown = 0

            def on_frame() -> None:
                nonlocal shown
                shown += 1
                if on_progress is not None:
                    elapsed = time.perf_counter() - begun
                    on_progress(Progress(earlier + shown, expected, elapsed, pipeline.clock.seconds(), earlier))

            maker.make(stack.enter_context(closing(pipeline.marked())), tally.passed, on_frame)
        report.busy_s = pipeline.clock.seconds()

    def _film_work(self, work: WorkFolder, ops: Ops, on_progress: OnProgress | None) -> FilmWork | None:
        begun, expected = time.perf_counter(), self.source.info.frame_count

        def on_frame(frames: int) -> None:
            if on_progress is not None:
                on_progress(Progress(frames, expected, time.perf_counter() - begun, {}, phase="look"))

        return open_film_work(self.source, self.options.film, work.path, ops, on_frame)

    @property
    def _shift(self) -> Fraction:
        return Fraction(0) if self.options.start is None else self.source.first_pts

    @property
    def _track(self) -> VideoTrack:
        plan, reader = self.plan, self.source.reader
        matrix = reader.display_matrix if reader else None
        begin = self.source.first_pts - self._shift
        return VideoTrack(plan.size, plan.format, plan.colour, plan.source, plan.rate, begin, matrix)

    def _name(self, work: WorkFolder, report: RunReport) -> None:
        """Give the finished file its name: its content is on the disk before the journal says so, and that before."""
        _refuse_existing(self.output, self.options)  # it may have appeared since the run began
        with writing(self.output):
            sync(work.joined)
            work.journal.append(Finished(report.output_bytes, asdict(report)))
            work.joined.replace(self.output)
        sync_names(self.output.parent)


class _Tally:
    """Counts for the report, kept in the journal so that they are there after an interruption."""

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
        before = record.done[-1].totals if record.done else {}
        self._restored, self._synthesized = before.get("restored_frames", 0), before.get("synthesized_frames", 0)
        self._was_sequential = bool(record.done and record.done[-1].sequential)

    def passed(self, mark: Mark | None) -> Passed:
        """Return what lies behind a mark, or behind the last frame."""
        stats = self._pipeline.stats
        if mark is None:
            source, cuts, held = stats.source_frames, stats.cuts, stats.held_frames
            restored, synthesized = self._stages.steps.runs, self._pipeline.synthesized
        else:
            start = mark.start
            source, cuts, held = start.opening.index, start.cuts, start.held_frames
            restored, synthesized = mark.restored if self._restores else 0, mark.synthesized
        totals = {
            "source_frames": source,
            "cuts": cuts,
            "held_frames": held,
            "restored_frames": self._restored + restored,
            "synthesized_frames": self._synthesized + synthesized,
        }
        warnings = (*(_warnings(self._reader) if self._reader else ()), *self._stages.steps.warnings)
        treated = {} if self._treating is None else self._treating.take_counts(source)
        return Passed(None if mark is None else mark.start, source, self._sequential, totals, warnings, treated)

    @property
    def _sequential(self) -> bool:
        notes = self._reader.notes if self._reader else None
        faulty = notes is not None and bool(notes.repaired_timestamps or notes.faults.counts)
        return self._was_sequential or faulty


_COUNTS = ("source_frames", "cuts", "held_frames", "restored_frames", "synthesized_frames")


def check_output(output: Path, options: ConvertOptions, source: Path | None) -> None:
    """Refuse an output that cannot or must not be written, before any work.

    Raises:
        UsageError: If its extension is unknown or cannot hold the codec, it exists, or it is the source.
        EncodeError: If its folder does not exist or cannot be written to.
    """
    require_fit(output, options.encode.codec, find_encoder(options.encode).name)
    with writing(output):  # even asking for a file can fail: its name may be too long, its folder locked
        if output.is_dir():
            raise UsageError(f"output {output} is a folder", "give a file name, such as `-o restored.mkv`")
        for kind, path in (("source", source), ("new soundtrack", options.audio)):
            if path is not None and output.exists() and path.exists() and output.samefile(path):
                raise UsageError(f"output {output} is the {kind} itself", "choose another name")
        _refuse_existing(output, options)
        folder_for(output).exists()  # its name is longer still
    folder = output.parent
    if not folder.is_dir():
        raise EncodeError(f"cannot write {output}: there is no folder {folder}", "make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EncodeError(f"cannot write {output}: folder {folder} may not be written to", "choose another folder")


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


def _worth_keeping(work: WorkFolder) -> bool:
    """Whether a later run can go on with what there is; of what cannot be read, that is for it to say."""
    try:
        record = work.journal.read()
    except (EncodeError, JobError):
        return True
    return record is not None and bool(record.done)


def _finished_file(work: WorkFolder, output: Path, finished: Finished) -> Path | None:
    """Return where the output of a run lies that was interrupted after it was whole."""
    for path in (work.joined, output):
        if path.is_file() and not path.is_symlink() and path.stat().st_size == finished.bytes:
            return path
    return None


def _taken_up(work: WorkFolder, output: Path, finished: Finished) -> RunReport:
    """Give a finished file its name, if it has none, and return the report of its run."""
    if _finished_file(work, output, finished) == work.joined:
        with writing(output):
            work.joined.replace(output)
        sync_names(output.parent)
    return RunReport(**finished.report)


def _refuse_existing(output: Path, options: ConvertOptions) -> None:
    if output.exists() and not options.overwrite and (options.restart or not _is_finished(output)):
        raise UsageError(f"output {output} exists already", "add `--overwrite`, or choose another name")


def _is_finished(output: Path) -> bool:
    """Whether a run was interrupted between naming its output and clearing up."""
    if not folder_for(output).is_dir():
        return False
    work = WorkFolder(output)
    record = work.journal.read()
    finished = None if record is None else record.finished
    return finished is not None and _finished_file(work, output, finished) == output


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    names = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    return ", ".join(f"{key}: {old.get(key)} -> {new.get(key)}" for key in names)


def _warnings(reader: VideoReader) -> list[str]:
    notes = reader.notes
    return [*notes.warnings, *(f"source: {text}" for text in notes.faults.words())]
