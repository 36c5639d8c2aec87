"""One conversion from source to finished file: complete and verified under its name, or not there at all."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from fastrestore.config import ConvertOptions
from fastrestore.errors import EncodeError, UsageError
from fastrestore.files import part_path
from fastrestore.frames import Frame
from fastrestore.kernels.ops import open_ops
from fastrestore.models.catalog import motion_model
from fastrestore.runtime.engine import BackendChoice, Engine, choose_backend
from fastrestore.runtime.media.containers import require_fit
from fastrestore.runtime.media.encoders import find_encoder
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.media.soundtrack import Soundtrack
from fastrestore.runtime.media.tracks import TrackCopier
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.media.verify import Promise, check_file
from fastrestore.runtime.media.writer import VideoTrack, VideoWriter
from fastrestore.runtime.motion import open_estimator
from fastrestore.runtime.pipeline import FramePipeline, Stages
from fastrestore.runtime.plan import WorkPlan, describe
from fastrestore.runtime.report import Progress, RunReport
from fastrestore.runtime.restorer import Output, Restorer

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Source:
    """Where frames come from."""

    frames: Iterable[Frame]
    first_pts: Fraction
    reader: VideoReader | None = None
    """The file whose other tracks go along, or None for frames that come from elsewhere."""


@contextmanager
def open_stages(plan: WorkPlan, options: ConvertOptions) -> Iterator[tuple[Stages, BackendChoice | None]]:
    """Open engines and kernels for a plan; close them on the way out."""
    ops = open_ops("cpu")
    with ExitStack() as stack:
        choice = choose_backend(options.backend) if plan.chain else None
        engines: list[Engine] = []
        if choice is not None:
            opened: dict[str, Engine] = {}
            for spec in plan.chain:
                if spec.name not in opened:
                    opened[spec.name] = stack.enter_context(choice.backend.open(spec, threads=options.threads))
            engines = [opened[spec.name] for spec in plan.chain]
        restorer = Restorer(engines, ops, Output(plan.size, plan.format, plan.colour), tile=options.tile)
        estimator = open_estimator(plan.motion or motion_model("dis"), ops)
        yield Stages(ops, restorer, estimator, plan.order), choice


@dataclass(frozen=True, slots=True)
class Job:
    """One conversion."""

    source: Source
    output: Path
    plan: WorkPlan
    options: ConvertOptions

    def run(self, on_progress: OnProgress | None = None) -> RunReport:
        """Convert.

        Returns:
            What was done.

        Raises:
            FastRestoreError: If anything fails; then there is no file under the output's name.
        """
        source, output = self.source, self.output
        check_output(output, self.options, source.reader.path if source.reader else None)
        started = time.perf_counter()
        part = part_path(output)
        report = RunReport(str(source.reader.path) if source.reader else "frames", str(output), self.describe())
        with open_stages(self.plan, self.options) as (stages, choice):
            if choice is not None:
                report.backend, report.backend_reason = choice.backend.describe(), choice.reason
            pipeline = self.pipeline(stages)
            try:
                self._write(part, pipeline, report, on_progress)
                _name(part, output, self.options)
            except BaseException:
                with contextlib.suppress(OSError):  # the error that ended the run is the one to tell
                    part.unlink(missing_ok=True)
                raise
            report.restored_frames = stages.restorer.runs
        _fill(report, pipeline, source, output)
        report.wall_s = time.perf_counter() - started
        return report

    def pipeline(self, stages: Stages) -> FramePipeline:
        """Return the pipeline over the source, not begun."""
        plan, options = self.plan, self.options
        return FramePipeline(
            stages,
            self.source.frames,
            plan.rate,
            keep_holds=options.keep_holds,
            end=options.end,
            near=plan.source.near,
        )

    def describe(self) -> dict[str, str]:
        """Return the plan in words."""
        name = self.source.reader.path.name if self.source.reader else "frames"
        lines = describe(self.plan, self.options, expected_frames(self.plan, self.options, self.source.first_pts))
        return {"file": f"{name} -> {self.output}", **lines}

    def _write(self, part: Path, pipeline: FramePipeline, report: RunReport, on_progress: OnProgress | None) -> None:
        shift = Fraction(0) if self.options.start is None else self.source.first_pts
        begun, expected = time.perf_counter(), expected_frames(self.plan, self.options, self.source.first_pts)
        with ExitStack() as stack:
            writer = stack.enter_context(self._open_writer(part, shift))
            first = last = None
            for frame in stack.enter_context(contextlib.closing(iter(pipeline))):
                with pipeline.clock.busy("encode"):
                    writer.write(Frame(frame.picture, frame.pts - shift, frame.duration))
                first, last = (frame.pts if first is None else first), frame.pts
                if on_progress is not None:
                    elapsed = time.perf_counter() - begun
                    on_progress(Progress(writer.frames, expected, elapsed, pipeline.clock.seconds()))
            with pipeline.clock.busy("encode"):
                writer.finish()
        assert first is not None and last is not None
        check_file(part, Promise(writer.frames, last - first, writer.track_count))
        report.output_frames, report.copied_tracks = writer.frames, writer.tracks.copied
        report.warnings += [f"left out: {text}" for text in writer.tracks.left_out]

    def _open_writer(self, part: Path, shift: Fraction) -> VideoWriter:
        plan, reader, options = self.plan, self.source.reader, self.options
        matrix = reader.display_matrix if reader else None
        begin = self.source.first_pts - shift
        track = VideoTrack(plan.size, plan.format, plan.colour, plan.source, plan.rate, begin, matrix)
        with ExitStack() as opened:  # what is opened here belongs to the writer once that is made
            copier = soundtrack = None
            if reader is not None:
                start = None if options.start is None else shift
                keep_audio = options.audio is None
                copier = TrackCopier(
                    reader.path, reader.stream_index, keep_audio=keep_audio, start=start, end=options.end
                )
                opened.callback(copier.close)
            if options.audio is not None:
                soundtrack = Soundtrack(options.audio, begin, options.encode.audio_bit_rate)
                opened.callback(soundtrack.close)
            writer = VideoWriter(part, self.output, track, options.encode, copier, soundtrack)
            opened.pop_all()
        return writer


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
        part_path(output).exists()  # its name is longer still
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


def _refuse_existing(output: Path, options: ConvertOptions) -> None:
    if output.exists() and not options.overwrite:
        raise UsageError(f"output {output} exists already", "add `--overwrite`, or choose another name")


def _name(part: Path, output: Path, options: ConvertOptions) -> None:
    """Give the finished file its name, once its content is on the disk."""
    _refuse_existing(output, options)  # it may have appeared since the run began
    with writing(output):
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(output)
    # Some file systems cannot sync a folder; the file is complete and in its place all the same.
    with contextlib.suppress(OSError):
        folder = os.open(output.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _fill(report: RunReport, pipeline: FramePipeline, source: Source, output: Path) -> None:
    report.source_frames = pipeline.stats.source_frames
    report.synthesized_frames = pipeline.synthesized
    report.cuts, report.held_frames = pipeline.stats.cuts, pipeline.stats.held_frames
    report.busy_s = pipeline.clock.seconds()
    report.output_bytes = output.stat().st_size
    if source.reader is not None:
        notes = source.reader.notes
        report.warnings += notes.warnings
        if notes.repaired_timestamps:
            report.warnings.append(f"{notes.repaired_timestamps} missing or backward timestamps were repaired")
        if notes.corrupt_frames:
            report.warnings.append(f"{notes.corrupt_frames} source frames were decoded with errors")
