"""`convert` and `demo`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fastrestore.cli.options import Progress, ProgressKind, app, auto_int, shown
from fastrestore.errors import UsageError

if TYPE_CHECKING:
    from fastrestore.config import ConvertOptions, OnError
    from fastrestore.runtime.job import Job
    from fastrestore.runtime.report import RunReport


@app.command()
def convert(
    inputs: Annotated[list[Path], typer.Argument(help="Video files.", metavar="INPUT")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write; a folder for several inputs.", metavar="OUT")
    ],
    to: Annotated[str, typer.Option(help="8k, 4k, 1440p, 1080p, 720p, WxH or xN.", metavar="SIZE")] = "4k",
    fps: Annotated[str, typer.Option(help="60, 60000/1001, xN, or source.", metavar="RATE")] = "60",
    sr: Annotated[
        str, typer.Option(help="Restoration network or family; see `models list`.", metavar="MODEL")
    ] = "film",
    vfi: Annotated[str, typer.Option(help="Motion model; see `models list`.", metavar="MODEL")] = "dis",
    backend: Annotated[str, typer.Option(help="What runs the networks; see `doctor`.", metavar="NAME")] = "auto",
    plan: Annotated[str, typer.Option(help="guided, upscale-first or interpolate-first.", metavar="ORDER")] = "guided",
    codec: Annotated[
        str,
        typer.Option(help="x264, x265, svtav1, ffv1, h264_nvenc, hevc_nvenc or av1_nvenc.", metavar="NAME"),
    ] = "x264",
    crf: Annotated[
        Optional[int], typer.Option(help="Quality; lower is better. Each codec has its default.", metavar="N")
    ] = None,
    preset: Annotated[Optional[str], typer.Option(help="Encoder preset.", metavar="NAME")] = None,
    bit_depth: Annotated[str, typer.Option(help="auto keeps the source's; 8 or 10.", metavar="BITS")] = "auto",
    audio: Annotated[
        Optional[Path], typer.Option(help="A new soundtrack, instead of the source's.", metavar="FILE")
    ] = None,
    tile: Annotated[str, typer.Option(help="Side of a tile in source pixels, or auto.", metavar="N")] = "auto",
    start: Annotated[Optional[str], typer.Option(help="Begin here: seconds or [HH:]MM:SS.", metavar="TIME")] = None,
    end: Annotated[Optional[str], typer.Option(help="End here.", metavar="TIME")] = None,
    threads: Annotated[int, typer.Option(min=0, max=1024, help="For the network; 0 uses every core.", metavar="N")] = 0,
    keep_holds: Annotated[bool, typer.Option("--keep-holds", help="Show held frames where the source does.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs, once complete.")] = False,
    on_error: Annotated[
        str, typer.Option(help="repair mends single faults of the source and tells; fail ends the run.", metavar="WHAT")
    ] = "repair",
    max_memory: Annotated[
        Optional[str], typer.Option(help="Refuse what would need more, such as 8G.", metavar="BYTES")
    ] = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", "--no-resume", help="Begin anew, whatever an interrupted run has left."),
    ] = False,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Decode what was encoded, to prove it.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    progress: Progress = ProgressKind.AUTO,
    report: Annotated[Optional[Path], typer.Option(help="Write what was done as JSON.", metavar="FILE.json")] = None,
) -> None:
    """Restore videos: larger, smoother, every track, every frame."""
    from fastrestore.api import open_source, output_paths, parse_plan, plan_job
    from fastrestore.cli.options import leave_stalled
    from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Target, parse_bytes, parse_time
    from fastrestore.runtime.media.watchdog import Watchdog

    options = ConvertOptions(
        to=Target.parse(to),
        fps=RateTarget.parse(fps),
        sr=sr,
        vfi=vfi,
        backend=backend,
        plan=parse_plan(plan),
        encode=EncodeOptions(codec, crf, preset, auto_int(bit_depth, "--bit-depth", (8, 10))),
        audio=audio,
        tile=auto_int(tile, "--tile"),
        start=None if start is None else parse_time(start),
        end=None if end is None else parse_time(end),
        overwrite=overwrite,
        keep_holds=keep_holds,
        threads=threads,
        on_error=_on_error(on_error),
        max_memory=None if max_memory is None else parse_bytes(max_memory),
        restart=restart,
        verify=verify,
    )
    pairs = output_paths(inputs, output)
    _check(pairs, options, report)
    reports = []
    for source, target in pairs:
        with Watchdog(on_stall=leave_stalled) as watchdog, open_source(source, options, watchdog) as reader:
            job = plan_job(reader, target, options)
            _print_plan(job, progress, to_stdout=dry_run)
            if dry_run:
                continue
            reports.append(_run(job, progress))
        if report is not None:  # after each, so that what was finished is on record whatever comes next
            _write_reports(report, len(pairs), reports)


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


def _on_error(text: str) -> OnError:
    from fastrestore.config import OnError

    try:
        return OnError(text)
    except ValueError as error:
        raise UsageError(f"`--on-error {text}` is not understood", "use `repair` or `fail`") from error


def _check(pairs: list[tuple[Path, Path]], options: ConvertOptions, report: Path | None) -> None:
    """Refuse whatever would be refused later on, before the first of several conversions takes its hours."""
    from fastrestore.api import open_source, plan_job
    from fastrestore.runtime.job import check_output

    if report is not None:
        _check_report(report, [path for pair in pairs for path in pair] + ([options.audio] if options.audio else []))
    for source, target in pairs:
        check_output(target, options, source)
        if len(pairs) > 1:
            with open_source(source, options) as reader:
                plan_job(reader, target, options)


def _check_report(path: Path, others: list[Path]) -> None:
    if path.resolve() in {other.resolve() for other in others}:
        raise UsageError(f"report {path} is one of the media files", "choose another file")
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(f"report {path} cannot be written", "give a file in a folder that exists")


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


def _write_reports(path: Path, inputs: int, reports: list[RunReport]) -> None:
    from fastrestore.files import write_whole

    whole = [json.loads(report.to_json()) for report in reports]
    write_whole(path, json.dumps(whole[0] if inputs == 1 else whole, indent=2) + "\n")
