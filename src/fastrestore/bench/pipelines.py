"""Measures a whole conversion: frames a second, what every stage did and waited for, and what limits it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from fastrestore.api import open_source, plan_job
from fastrestore.bench import memory
from fastrestore.bench.advice import Use, verdict
from fastrestore.bench.cases import Block
from fastrestore.bench.machine import CoreUse
from fastrestore.bench.peak import Pace, Reference
from fastrestore.bench.stagetimes import MODEL, StageTimes, fps_without, gantt, stage_times
from fastrestore.bench.workload import Counts, way, work_mpx
from fastrestore.config import ConvertOptions, cpu_count
from fastrestore.errors import UsageError
from fastrestore.frames import PixelFormat
from fastrestore.geometry import Size
from fastrestore.kernels.translate import computing
from fastrestore.runtime.job import Job
from fastrestore.runtime.plan import WorkPlan
from fastrestore.runtime.report import Progress, Trace, tracing
from fastrestore.runtime.stages import open_stages

PARTS = 12
"""Blocks that a run is divided into, so that two runs of one film can be compared part by part."""


class Encoder(StrEnum):
    """What finished frames go to."""

    REAL = "real"
    """The encoder of the options, its file proved, joined and checked as `convert` does; then it is deleted."""
    NULL = "null"
    """Nowhere: frames are made and dropped."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, measured."""

    wall_s: float
    cpu_s: float
    start_s: float
    """Until the first frame: engines opened, the first pictures on their way."""
    finish_s: float
    """After the last frame: the encoder drained, the file joined and checked."""
    counts: Counts
    backend: str
    output_bytes: int
    memory_bytes: int
    """The most that the process held."""
    trace: Trace
    ticks: list[tuple[float, float]]
    """Instant and processor time at the beginning and after every output frame, in seconds."""
    began_at: float
    """Seconds since 1970."""
    pace: Pace
    others: float | None
    """Share of the cores' time that other programs took."""

    @property
    def use(self) -> Use:
        """What it had of the machine."""
        return Use(self.wall_s, self.cpu_s, cpu_count(), self.others or 0.0)


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What was found of a conversion; figures are those of the run of median speed, blocks those of all."""

    label: str
    plan: dict[str, str]
    way: dict[str, str]
    encoder: Encoder
    run: Run
    film_s: float
    stages: dict[str, StageTimes]
    work_mpx: dict[str, float]
    moved_bytes: dict[str, int]
    runs_fps: list[float]
    verdict: str
    blocks: list[Block]

    @property
    def fps(self) -> float:
        """Output frames a second."""
        return self.run.counts.output / self.run.wall_s

    def metrics(self) -> dict[str, float]:
        """Return every figure that a condition can be put on."""
        return {"throughput": self.fps, "memory": float(self.run.memory_bytes)}

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        run, use = self.run, self.run.use
        window = _second_of_film(self)
        return {
            "label": self.label,
            "plan": self.plan,
            "way": self.way,
            "encoder": self.encoder.value,
            "backend": run.backend,
            "frames": asdict(run.counts),
            "film_s": self.film_s,
            "wall_s": run.wall_s,
            "start_s": run.start_s,
            "finish_s": run.finish_s,
            "start_cpu_s": run.ticks[1][1] - run.ticks[0][1],
            "cpu_s": run.cpu_s,
            "cores_busy": use.busy,
            "fps": self.fps,
            "others": run.others,
            "runs_fps": self.runs_fps,
            "real_time_factor": self.film_s / run.wall_s,
            "output_bytes": run.output_bytes,
            "memory_bytes": run.memory_bytes,
            "work_mpx": self.work_mpx,
            "moved_bytes": self.moved_bytes,
            "stages": {stage: times.as_dict() for stage, times in self.stages.items()},
            "fps_without": fps_without(self.stages, run.counts.output, run.cpu_s, use.cores_left),
            "fps_without_model": MODEL,
            "verdict": self.verdict,
            "gantt": {"length_ms": (window[1] - window[0]) * 1e3, "spans": gantt(run.trace, *window)},
            "blocks": [asdict(block) for block in self.blocks],
        }


def measure_pipeline(
    clip: Path,
    options: ConvertOptions,
    encoder: Encoder = Encoder.REAL,
    repeats: int = 1,
    on_run: Callable[[Run], object] | None = None,
) -> PipelineResult:
    """Convert a clip and measure it.

    Args:
        clip: The video.
        options: As for `convert`; nothing is taken up from an earlier run, and nothing is kept.
        encoder: Where frames go.
        repeats: Runs.
        on_run: Called after every run.

    Raises:
        UsageError: If the options cannot be met with this clip, or it yields no frame.
        FastRestoreError: If the conversion fails.
    """
    options = replace(options, restart=True, overwrite=True)
    reference = Reference(time.perf_counter)
    runs = []
    for _ in range(repeats):
        with TemporaryDirectory(prefix="fastrestore-bench-") as folder:
            job, run = _run(clip, Path(folder) / "bench.mkv", options, encoder, reference.measure())
        runs.append(run)
        if on_run is not None:
            on_run(run)
    runs_fps = [run.counts.output / run.wall_s for run in runs]
    middle = sorted(runs, key=lambda run: run.wall_s)[len(runs) // 2]
    plan = job.plan
    film_s = float(middle.counts.output / plan.rate) if plan.rate else float(plan.source.duration or 0)
    stages = stage_times(middle.trace, middle.wall_s)
    blocks = [block for number, run in enumerate(runs) for block in _blocks(run, number)]
    label = f"{clip.name} to {plan.size} {_rate(plan)}, {plan.order.value}, {_encoder_words(options, encoder)}"
    words = {key: text for key, text in job.describe().items() if key != "file"}
    moved = _moved(plan, middle.counts)
    said = verdict(stages, middle.use, middle.counts.output, options)
    return PipelineResult(
        label=label,
        plan=words,
        way=way(plan, options),
        encoder=encoder,
        run=middle,
        film_s=film_s,
        stages=stages,
        work_mpx=work_mpx(plan, middle.counts, options),
        moved_bytes=moved,
        runs_fps=runs_fps,
        verdict=said,
        blocks=blocks,
    )


def _run(clip: Path, output: Path, options: ConvertOptions, encoder: Encoder, pace: Pace) -> tuple[Job, Run]:
    memory.reset_peak()
    with open_source(clip, options) as reader, tracing() as trace:
        job = plan_job(reader, output, options)
        cores, began_at, ticks = CoreUse(), time.time(), [(time.perf_counter(), time.process_time())]

        def tick(_: Progress | None = None) -> None:
            ticks.append((time.perf_counter(), time.process_time()))

        if encoder is Encoder.REAL:
            report = job.run(tick)
            counts = Counts(
                report.source_frames, report.output_frames, report.restored_frames, report.synthesized_frames
            )
            backend, output_bytes = report.backend, report.output_bytes
        else:
            counts, backend = _drop_frames(job, tick)
            output_bytes = 0
        end, cpu_end = time.perf_counter(), time.process_time()
        others = cores.others(end - ticks[0][0])
    if len(ticks) < 2:
        raise UsageError(f"{clip} yields no frame", "check `--start` and `--end`")
    begin, cpu_begin = ticks[0]
    return job, Run(
        wall_s=end - begin,
        cpu_s=cpu_end - cpu_begin,
        start_s=ticks[1][0] - begin,
        finish_s=end - ticks[-1][0],
        counts=counts,
        backend=backend,
        output_bytes=output_bytes,
        memory_bytes=memory.peak_bytes(),
        trace=trace,
        ticks=ticks,
        began_at=began_at,
        pace=pace,
        others=others,
    )


def _drop_frames(job: Job, tick: Callable[[], object]) -> tuple[Counts, str]:
    frames = 0
    with computing(), open_stages(job.plan, job.options) as (stages, choice):
        pipeline = job.pipeline(stages)
        with closing(pipeline.marked()) as finished:  # as the encoder takes them: lent, not copied
            for _ in finished:
                frames += 1
                tick()
        restored = stages.steps.runs if job.plan.restores else 0
        counts = Counts(pipeline.stats.source_frames, frames, restored, pipeline.synthesized)
    return counts, choice.backend.describe() if choice else ""


def _blocks(run: Run, number: int) -> list[Block]:
    """Divide a run into parts of the film."""
    frames = len(run.ticks) - 1
    parts = min(PARTS, frames)
    edges = [frames * part // parts for part in range(parts + 1)]
    begin = run.ticks[0][0]
    found = []
    for part in range(parts):
        first, last = run.ticks[edges[part]], run.ticks[edges[part + 1]]
        count = edges[part + 1] - edges[part]
        seconds = max(last[0] - first[0], 1e-9)
        found.append(
            Block(
                at=run.began_at + first[0] - begin,
                seconds=seconds,
                frames=count,
                pace=run.pace,
                samples_ms=[seconds / count * 1e3],
                cpu_ms=(last[1] - first[1]) / count * 1e3,
                others=run.others,
                part=number * parts + part,
            )
        )
    return found


def _second_of_film(result: PipelineResult) -> tuple[float, float]:
    """Return when the second of film in the middle was finished, from its first frame to its last."""
    ticks = result.run.ticks
    a_second = max(1, round(result.run.counts.output / result.film_s)) if result.film_s else len(ticks) - 1
    first = max(0, (len(ticks) - 1 - a_second) // 2)
    return ticks[first][0], ticks[min(first + a_second, len(ticks) - 1)][0]


def _moved(plan: WorkPlan, counts: Counts) -> dict[str, int]:
    """Return how many bytes of pictures each step made, from their sizes and numbers."""
    source, output = picture_bytes(plan.source.size, plan.source.format), picture_bytes(plan.size, plan.format)
    planar, size = 0, plan.source.size
    for spec in plan.chain:
        planar += 12 * size.pixels
        size = size.times(spec.scale)
        planar += 12 * size.pixels
    return {
        "decoded": counts.source * source,
        "network": counts.restored * planar,
        "restored": counts.restored * output,
        "synthesized": counts.synthesized * output,
        "encoded": counts.output * output,
    }


def picture_bytes(size: Size, layout: PixelFormat) -> int:
    """Return the bytes of a picture's samples."""
    samples = sum(layout.plane_size(size, plane).pixels for plane in range(layout.planes))
    return samples * layout.dtype().itemsize


def _rate(plan: WorkPlan) -> str:
    return "at the source's instants" if plan.rate is None else f"at {float(plan.rate):g} fps"


def _encoder_words(options: ConvertOptions, encoder: Encoder) -> str:
    if encoder is Encoder.NULL:
        return "null encoder"
    return " ".join(word for word in (options.encode.codec, options.encode.preset) if word)
