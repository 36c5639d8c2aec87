"""`convert` and `demo`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastrestore.cli import convert_options as option
from fastrestore.cli.options import Progress, ProgressKind, app, shown

if TYPE_CHECKING:
    from fastrestore.config import ConvertOptions
    from fastrestore.runtime.fleet.crew import Crew
    from fastrestore.runtime.job import Job
    from fastrestore.runtime.report import RunReport


@app.command()
def convert(
    context: typer.Context,
    inputs: option.Inputs,
    output: option.Output,
    to: option.To = "4k",
    fps: option.Fps = "60",
    sr: option.Sr = "film",
    vfi: option.Vfi = "dis",
    backend: option.Backend = "auto",
    plan: option.Order = "guided",
    codec: option.Codec = "x264",
    crf: option.Crf = None,
    preset: option.Preset = None,
    bit_depth: option.BitDepth = "auto",
    audio: option.Audio = None,
    tile: option.Tile = "auto",
    start: option.Start = None,
    end: option.End = None,
    threads: option.Threads = 0,
    workers: option.Workers = "1",
    ray: option.Ray = None,
    keep_holds: option.KeepHolds = False,
    overwrite: option.Overwrite = False,
    on_error: option.OnFault = "repair",
    max_memory: option.MaxMemory = None,
    media: option.OnMedia = "host",
    restart: option.Restart = False,
    verify: option.Verify = True,
    deinterlace: option.Deinterlace = "off",
    detelecine: option.Detelecine = False,
    clean: option.Clean = "off",
    color_from: option.ColorFrom = None,
    colorize: option.Colorize = "off",
    deflicker: option.Deflicker = "off",
    steady: option.Steady = "off",
    grain: option.Grain = "off",
    faces: option.Faces = "off",
    preset_film: option.PresetFilm = None,
    provenance: option.Provenance = False,
    c2pa: option.C2pa = None,
    container: option.Container = None,
    jobs: option.Jobs = None,
    skip_done: option.SkipDone = None,
    retries: option.Retries = 1,
    fail_fast: option.FailFast = False,
    dry_run: option.DryRun = False,
    progress: Progress = ProgressKind.AUTO,
    report: option.Report = None,
) -> None:
    """Restore videos: larger, smoother, every track, every frame."""
    from fastrestore.batch.inputs import is_several
    from fastrestore.runtime.fleet.opening import open_crew, parse_helpers

    values, helpers = option.given(context), parse_helpers(workers, ray, threads)
    if jobs is not None or is_several(inputs):
        from fastrestore.batch.jobfile import JobFile, read_job_file
        from fastrestore.batch.lanes import Policy
        from fastrestore.batch.request import Request
        from fastrestore.cli import batch

        request = Request(inputs, output, values, JobFile() if jobs is None else read_job_file(jobs))
        with open_crew(helpers) as crew:
            policy = Policy(retries, fail_fast, skip_done is not False, crew=crew)
            batch.convert_several(request, policy, progress, report, dry_run=dry_run)
        return
    from fastrestore.batch.outputs import output_for
    from fastrestore.batch.settings import options_from

    values.pop("container", None)
    source = Path(inputs[0])
    target = output_for(source, output, container)
    with open_crew(helpers) as crew:
        options = options_from(values)
        _convert_one(source, target, options, progress, report, crew, dry_run=dry_run, skip_done=bool(skip_done))


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.", metavar="DIR")] = Path(
        "fastrestore-demo"
    ),
    progress: Progress = ProgressKind.AUTO,
) -> None:
    """Restore the embedded old film and make a page to look at."""
    from fastrestore.demo.run import run_demo
    from fastrestore.progress import emit

    with shown(progress) as on_progress:
        results = run_demo(output, on_progress, announce=lambda job: _print_plan(job, progress, to_stdout=False))
    if progress is ProgressKind.JSON:
        files = {label: str(path) for label, path in results.files()}
        emit("done", {**json.loads(results.report.to_json()), "files": files})
        return
    _print_summary(results.report)
    for label, path in results.files():
        print(f"{label:<14} {path}")


def _convert_one(
    source: Path,
    target: Path,
    options: ConvertOptions,
    progress: ProgressKind,
    report: Path | None,
    crew: Crew | None,
    *,
    dry_run: bool,
    skip_done: bool,
) -> None:
    from fastrestore.api import open_source, plan_job
    from fastrestore.batch.outputs import check_report
    from fastrestore.cli.options import leave_stalled
    from fastrestore.files import write_whole
    from fastrestore.runtime.job import check_output
    from fastrestore.runtime.media.watchdog import Watchdog

    if report is not None:
        check_report(report, [source, target] + ([options.audio] if options.audio else []))
    if skip_done and _is_done(source, target, options, progress):
        return
    check_output(target, options, source)
    with Watchdog(on_stall=leave_stalled) as watchdog, open_source(source, options, watchdog) as reader:
        with shown(progress) as on_progress:
            asked = replace(plan_job(reader, target, options, on_progress=on_progress), crew=crew)
        job = asked.tuned()
        _print_plan(job, progress, to_stdout=dry_run)
        if dry_run:
            _print_estimate(asked, progress)
            return
        done = _run(job, progress)
    if report is not None:
        write_whole(report, done.to_json() + "\n")


def _is_done(source: Path, target: Path, options: ConvertOptions, progress: ProgressKind) -> bool:
    from fastrestore.batch.standing import State, clear_up, require_replaceable, standing_of
    from fastrestore.progress import emit

    standing = standing_of(source, target, options)
    if standing.state is not State.DONE:
        require_replaceable(standing, target, options)
        return False
    clear_up(target)
    if progress is ProgressKind.JSON:
        emit("skipped", {"file": str(source), "output": str(target), "frames": standing.frames})
    else:
        print(f"{'skipped':<10} {target} is done: {standing.frames} frames", file=sys.stderr)
    return True


def _run(job: Job, progress: ProgressKind) -> RunReport:
    from fastrestore.progress import emit

    with shown(progress) as on_progress:
        report = job.run(on_progress)
    if progress is ProgressKind.JSON:
        emit("done", json.loads(report.to_json()))
    else:
        _print_summary(report)
    return report


def _print_plan(job: Job, progress: ProgressKind, *, to_stdout: bool) -> None:
    from fastrestore.progress import emit

    lines = job.describe()
    if progress is ProgressKind.JSON:
        emit("plan", {"plan": lines})
        return
    for key, value in lines.items():
        print(f"{key:<10} {value}", file=sys.stdout if to_stdout else sys.stderr)


def _print_estimate(job: Job, progress: ProgressKind) -> None:
    from fastrestore.bench.estimate import HOW, estimate
    from fastrestore.progress import emit

    found = estimate(job.plan, job.options, job.making.expected)
    if progress is not ProgressKind.JSON:
        print(f"{'estimate':<10} {found or f'unknown: {HOW}'}")
    elif found is not None:
        emit("estimate", {"seconds": found.seconds, "output_bytes": found.output_bytes, "rates_made": found.made})


def _print_summary(report: RunReport) -> None:
    busy = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in report.busy_s.items())
    lines = {
        "written": f"{report.output} ({report.output_bytes / 1e6:.1f} MB)",
        "frames": f"{report.output_frames} from {report.source_frames}: {report.restored_frames} restored, "
        f"{report.synthesized_frames} synthesised; {report.cuts} cuts, {report.held_frames} held frames evened",
        "tracks": ", ".join(report.copied_tracks) or "no others",
        "time": f"{report.wall_s:.1f} s, {report.output_fps:.1f} frames a second"
        + (f"; bound by {report.busiest}" if busy else ""),
        "busy s": busy,
    }
    for key, value in lines.items():
        print(f"{key:<10} {value}", file=sys.stderr)
    for text in report.warnings:
        print(f"warning: {text}", file=sys.stderr)
