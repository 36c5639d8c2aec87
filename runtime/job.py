"""One conversion from source to finished file: complete and verified under its name, or not there at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from fastrestore.config import ConvertOptions, cpu_count
from fastrestore.errors import EncodeError, JobError, UsageError
from fastrestore.files import sync
from fastrestore.kernels.ops import open_ops
from fastrestore.kernels.translate import computing
from fastrestore.runtime.engine_pool import EnginePool
from fastrestore.runtime.fleet.crew import Crew
from fastrestore.runtime.identity import differing, header_for, with_backend, with_encoder_threads
from fastrestore.runtime.joining import Film, check_company, join
from fastrestore.runtime.journal import Finished, Header, Record, treated_counts
from fastrestore.runtime.making import InLine, Maker, Making
from fastrestore.runtime.media.containers import require_fit
from fastrestore.runtime.media.encoders import find_encoder, fixed_threads
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.naming import give_names
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.plan import WorkPlan, describe
from fastrestore.runtime.recording import Recording
from fastrestore.runtime.report import Looking, OnProgress, RunReport
from fastrestore.runtime.segments import segment_files, whole_segments
from fastrestore.runtime.source import Source
from fastrestore.runtime.stages import largest_inputs, open_stages
from fastrestore.runtime.treatments.film_work import FilmWork, open_film_work
from fastrestore.runtime.tuning import as_begun, tuned
from fastrestore.runtime.workfolder import WorkFolder, folder_for


@dataclass(frozen=True, slots=True)
class Job:
    """One conversion."""

    source: Source
    output: Path
    plan: WorkPlan
    options: ConvertOptions
    engines: EnginePool | None = None
    """Lends the engines, where several runs share them; None opens them for this run."""
    crew: Crew | None = None
    """Workers that make the segments; None makes them in this process."""

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

    def tuned(self) -> Self:
        """Return the job done in the way that was measured to be the fastest here, as far as the user left it open.

        Workers may be other machines: with them, nothing is chosen that an interrupted run has not begun with.
        """
        if self.crew is not None:
            return replace(self, options=as_begun(self.options, self.output))
        return replace(self, options=tuned(self.plan, self.options, self.output))

    def pipeline(self, stages: Stages) -> FramePipeline:
        """Return the pipeline over the whole source, not begun."""
        return FramePipeline(stages, self.source.frames, self.plan.rate, self.making.rules)

    def describe(self) -> dict[str, str]:
        """Return the plan in words."""
        name = self.source.reader.path.name if self.source.reader else "frames"
        lines = describe(self.plan, self.options, self.making.expected, largest_inputs(self.plan, self.options))
        if self.options.tuned:
            lines["backend"] = f"{self.options.backend}, {self.options.tuned}"
        workers = {"workers": self.crew.description} if self.crew is not None else {}
        return {"file": f"{name} -> {self.output}", **lines, **workers}

    @property
    def making(self) -> Making:
        """What is made of the film."""
        return Making(self.source, self.plan, self.options)

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
        recording = Recording.of(self.making, self.output)
        left, header = self._begun(work)
        making = Making(source, self.plan, with_encoder_threads(self.options, header.encoder_threads))
        film = Film(self.output, making.track, self.plan, making.options, making.shift, source.reader)
        check_company(film)
        film_work = self._film_work(work, on_progress)
        with self._maker(making, work, left) as maker:
            report.backend, report.backend_reason = maker.backend, maker.reason
            record = self._record(work, left, with_backend(header, maker.identity))
            if record.finished is not None:
                return _taken_up(work, self.output, record.finished)
            report.resumed_segments = len(record.done) + len(record.ahead)
            if not record.whole:
                made = maker.make(work, record, film_work, on_progress)
                report.busy_s, report.warnings = dict(made.busy_s), [*made.warnings]
        report.fields = [] if source.fields is None else [dict(row) for row in source.fields.plan.report()]
        if film_work is not None:
            report.film = film_work.report(treated_counts(record))
        for name, count in record.counts().items():
            if name in _COUNTS:
                setattr(report, name, count)
        report.warnings += record.done[-1].warnings
        report.segments = len(record.done)
        with writing(work.joined):
            work.joined.unlink(missing_ok=True)  # it may be a link, which FFmpeg would follow
        told = recording.told(record, report.film)
        joined = join(work.joined, segment_files(work, record), replace(film, summary=told.summary()))
        report.output_frames, report.copied_tracks = joined.frames, joined.tracks.copied
        report.warnings += [f"left out: {text}" for text in joined.tracks.left_out]
        recording.publish(told, joined.settings, work)
        report.output_bytes = work.joined.stat().st_size
        self._name(work, report)
        return report

    def _begun(self, work: WorkFolder) -> tuple[Record | None, Header]:
        """Return what an earlier run has left, if it is of any use, and what this run is asked to do.

        The header's backend is empty: it is known once there is somebody to make segments.

        Raises:
            JobError: If the earlier run was asked to do something else.
        """
        reader = self.source.reader
        left = work.journal.read() if reader is not None and not self.options.restart else None
        if left is None or not left.frames:
            left = None
            work.clear(keep_seen=not self.options.restart)
        threads = left.header.encoder_threads if left else 0
        threads = threads or fixed_threads(self.options.encode, cpu_count())
        header = header_for(self.plan, self.options, "", reader.path if reader else None, threads)
        if left is not None:
            self._refuse_other(left, with_backend(header, left.header.settings.get("backend", "")))
        return left, header

    @contextmanager
    def _maker(self, making: Making, work: WorkFolder, left: Record | None) -> Iterator[Maker]:
        """Open what makes the segments: workers, or the stages in this process."""
        if self.crew is not None:
            with self.crew.at_work(making, work, left.header.settings if left else None) as at_work:
                yield at_work
        else:
            with open_stages(self.plan, self.options, self.engines) as (stages, choice):
                yield InLine(making, stages, choice)

    def _record(self, work: WorkFolder, left: Record | None, header: Header) -> Record:
        """Return what an earlier run has left, as far as it is whole; else begin a record.

        Raises:
            JobError: If that run was another one.
        """
        if left is None:
            return work.journal.begin(header)
        self._refuse_other(left, header)
        if left.finished is not None and _finished_file(work, self.output, left.finished) is not None:
            return left
        whole = whole_segments(work, left)
        if len(whole) < len(left.done) + len(left.ahead) or left.finished is not None:
            left.keep(whole)
            work.journal.rewrite(left)
        return left

    def _refuse_other(self, left: Record, header: Header) -> None:
        """Refuse to go on with the work of a run that was asked to do something else.

        Raises:
            JobError: If it was.
        """
        if text := differing(left.header.settings, header.settings):
            raise JobError(
                f"the unfinished work on {self.output} was begun with other settings ({text})",
                "use the same ones to go on, or add `--restart` to begin anew",
            )
        if left.header.source != header.source:
            reader = self.source.reader
            raise JobError(
                f"{reader.path if reader else 'the source'} has changed since the work on {self.output} was begun",
                "add `--restart` to begin anew",
            )

    def _film_work(self, work: WorkFolder, on_progress: OnProgress | None) -> FilmWork | None:
        source, options = self.source, self.options
        if source.fields is not None:  # for workers, and for the run that goes on
            source.fields.save(work.path)
        saw = None if on_progress is None else Looking(source.info.frame_count, on_progress).saw
        restored = bool(self.plan.chain)
        return open_film_work(source, options.film, work.path, open_ops("cpu"), saw, restored=restored)

    def _name(self, work: WorkFolder, report: RunReport) -> None:
        """Give the finished file its name: its content is on the disk before the journal says so, and that before."""
        _refuse_existing(self.output, self.options)  # it may have appeared since the run began
        with writing(self.output):
            sync(work.joined)
            work.journal.append(Finished(report.output_bytes, asdict(report)))
        give_names(work, self.output)


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


def _worth_keeping(work: WorkFolder) -> bool:
    """Whether a later run can go on with what there is; of what cannot be read, that is for it to say."""
    try:
        record = work.journal.read()
    except (EncodeError, JobError):
        return True
    return work.has_seen or (record is not None and record.frames > 0)


def _finished_file(work: WorkFolder, output: Path, finished: Finished) -> Path | None:
    """Return where the output of a run lies that was interrupted after it was whole."""
    for path in (work.joined, output):
        if path.is_file() and not path.is_symlink() and path.stat().st_size == finished.bytes:
            return path
    return None


def _taken_up(work: WorkFolder, output: Path, finished: Finished) -> RunReport:
    """Give a finished file its name, if it has none, and return the report of its run."""
    give_names(work, output)
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
