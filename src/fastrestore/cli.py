"""The command line: parses, calls, prints, sets the exit code. It decides nothing."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn, Optional

import typer

from fastrestore.errors import FastRestoreError, JobCancelledError, JobError, UsageError

if TYPE_CHECKING:
    from fastrestore.config import ConvertOptions
    from fastrestore.progress import Display
    from fastrestore.runtime.job import Job
    from fastrestore.runtime.report import RunReport

_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_IGNORED_SIGNALS = 4
_signals = itertools.count(1)

# Plain help: it fits a narrow terminal, and without rich it is there in half the time.
app = typer.Typer(
    name="fastrestore",
    help="Restores old film and low-resolution video to 4K at 60 frames a second.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help="The networks that fastrestore knows.", rich_markup_mode=None)
app.add_typer(models_app, name="models")


class ProgressKind(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    BAR = "bar"
    JSON = "json"
    NONE = "none"


_Progress = Annotated[ProgressKind, typer.Option(help="auto, bar, json or none.", metavar="KIND")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class _Stopped(BaseException):
    """A signal asked to stop. No library knows it, so that none swallows or translates it on the way out."""


def main() -> None:
    """Run the command line; every error becomes one line with a hint and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text
    try:
        for number in _STOPPING_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # so it is under `nohup`
                signal.signal(number, _stop)
        code = app(prog_name="fastrestore", standalone_mode=False)
        sys.stdout.flush()
    except FastRestoreError as error:
        _fail(error)
    except typer.TyperException as error:
        _fail(_usage_error(error))
    except BrokenPipeError:  # whoever read it has seen enough
        _leave(1)
    except OSError as error:  # all but standard output is seen to where it is used
        where = error.filename or "standard output"
        _fail(JobError(f"cannot use {where}: {error.strerror}", "check its name, folder and free space"))
    except MemoryError:
        _fail(JobError("there is not enough memory", "use a smaller `--to`, or `--tile`"))
    except _Stopped:
        _fail(JobCancelledError("stopped", "nothing unfinished was left behind; run the command again to start over"))
    _leave(code or 0)


def _stop(number: int, frame: FrameType | None) -> None:
    # Cleaning up takes no longer than a frame, and must not be stopped itself by an impatient second signal. But if
    # the first one was lost (Python drops what is raised in a finaliser), insisting must help.
    count = next(_signals)
    if count == 1 or count > _IGNORED_SIGNALS:
        raise _Stopped


def _usage_error(error: typer.TyperException) -> UsageError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "fastrestore"
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    return UsageError(message[:1].lower() + message[1:], f"see `{command} --help`")


def _fail(error: FastRestoreError) -> NoReturn:
    print("error:", *error.message.splitlines(), file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    _leave(error.exit_code)


def _leave(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except OSError:  # what is still buffered would fail again when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from fastrestore import __version__

        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    progress: _Progress = ProgressKind.AUTO,
    report: Annotated[Optional[Path], typer.Option(help="Write what was done as JSON.", metavar="FILE.json")] = None,
) -> None:
    """Restore videos: larger, smoother, every track, every frame."""
    from fastrestore.api import open_video, output_paths, parse_plan, plan_job
    from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Target, parse_time

    options = ConvertOptions(
        to=Target.parse(to),
        fps=RateTarget.parse(fps),
        sr=sr,
        vfi=vfi,
        backend=backend,
        plan=parse_plan(plan),
        encode=EncodeOptions(codec, crf, preset, _auto_int(bit_depth, "--bit-depth", (8, 10))),
        audio=audio,
        tile=_auto_int(tile, "--tile"),
        start=None if start is None else parse_time(start),
        end=None if end is None else parse_time(end),
        overwrite=overwrite,
        keep_holds=keep_holds,
        threads=threads,
    )
    pairs = output_paths(inputs, output)
    _check(pairs, options, report)
    reports = []
    for source, target in pairs:
        with open_video(source, start=options.start, end=options.end) as reader:
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
    progress: _Progress = ProgressKind.AUTO,
) -> None:
    """Restore the embedded old film and make a page to look at."""
    from fastrestore.demo.run import run_demo
    from fastrestore.progress import emit

    with _shown(progress) as on_progress:
        results = run_demo(output, on_progress, announce=lambda job: _print_plan(job, progress, to_stdout=False))
    if progress is ProgressKind.JSON:
        files = {label: str(path) for label, path in results.files()}
        emit("done", {**json.loads(results.report.to_json()), "files": files})
        return
    _print_summary(results.report)
    for label, path in results.files():
        print(f"{label:<14} {path}")


@app.command()
def compare(
    left: Annotated[Path, typer.Argument(help="A video.", metavar="LEFT")],
    right: Annotated[Path, typer.Argument(help="Another.", metavar="RIGHT")],
    output: Annotated[
        Optional[Path], typer.Option("-o", "--output", help="Page with a slider.", metavar="PAGE.html")
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Compare two videos: PSNR, SSIM and a before/after page."""
    from fastrestore import compare as comparison

    if output is not None:
        comparison.check_page(output)
    result = comparison.compare(left, right)
    if as_json:
        print(result.to_json())
    elif result.psnr_y_db is None:
        print(f"no figures: {result.left_size} and {result.right_size} share no size or instant")
    else:
        print(f"PSNR-Y {result.psnr_y_db:.2f} dB  SSIM-Y {result.ssim_y:.4f}  over {result.compared_frames} frames")
    if output is not None:
        comparison.write_page(left, right, output, score=result)
        print(output, file=sys.stderr)


@app.command()
def doctor(as_json: _AsJson = False) -> None:
    """Explain what this machine has and lacks."""
    from fastrestore import doctor as examination

    findings = examination.examine()
    if as_json:
        print(json.dumps(examination.as_json(findings), indent=2))
    else:
        for finding in findings:
            print(f"{'ok' if finding.ok else 'no':<3} {finding.subject:<24} {finding.detail}")
            if finding.advice:
                print(f"    {'':<24} {finding.advice}")
    if not examination.healthy(findings):
        raise typer.Exit(1)


@models_app.command("list")
def models_list(as_json: _AsJson = False) -> None:
    """List every model."""
    from fastrestore.models.catalog import catalog

    if as_json:
        print(json.dumps([_model_facts(spec.name) for spec in catalog()], indent=2))
        return
    for spec in catalog():
        scale = f"x{spec.scale}" if spec.scale > 1 else "-"
        print(f"{spec.name:<16} {spec.task:<8} {scale:<4} {spec.summary}")


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="A model's name.", metavar="MODEL")],
    as_json: _AsJson = False,
) -> None:
    """Show what is known of one model, with its card."""
    from fastrestore.models import store
    from fastrestore.models.catalog import find

    facts = _model_facts(name)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        print(f"{key:<22} {value}")
    if card := store.card(find(name)):
        print(f"\n{card}")


def _model_facts(name: str) -> dict[str, object]:
    from fastrestore.models.catalog import find

    facts = asdict(find(name))
    facts["artifacts"] = {k: {"path": str(v["path"]), "sha256": v["sha256"]} for k, v in facts["artifacts"].items()}
    return facts


def _auto_int(text: str, option: str, allowed: tuple[int, ...] = ()) -> int | None:
    if text == "auto":
        return None
    if text.isascii() and text.isdigit() and (not allowed or int(text) in allowed):
        return int(text)
    known = " or ".join(str(value) for value in allowed) if allowed else "a number of pixels"
    raise UsageError(f"`{option} {text}` is not understood", f"use `auto`, {known}")


def _check(pairs: list[tuple[Path, Path]], options: ConvertOptions, report: Path | None) -> None:
    """Refuse whatever would be refused later on, before the first of several conversions takes its hours."""
    from fastrestore.api import open_video, plan_job
    from fastrestore.runtime.job import check_output

    if report is not None:
        _check_report(report, [path for pair in pairs for path in pair] + ([options.audio] if options.audio else []))
    for source, target in pairs:
        check_output(target, options, source)
        if len(pairs) > 1:
            with open_video(source, start=options.start, end=options.end) as reader:
                plan_job(reader, target, options)


def _check_report(path: Path, others: list[Path]) -> None:
    if path.resolve() in {other.resolve() for other in others}:
        raise UsageError(f"report {path} is one of the media files", "choose another file")
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(f"report {path} cannot be written", "give a file in a folder that exists")


def _run(job: Job, progress: ProgressKind) -> RunReport:
    from fastrestore.progress import emit

    with _shown(progress) as on_progress:
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
        "time": f"{report.wall_s:.1f} s, {report.output_fps:.1f} frames a second; bound by {report.busiest}",
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


def _shown(kind: ProgressKind) -> Display:
    from fastrestore import progress

    if kind is ProgressKind.AUTO:
        kind = ProgressKind.BAR if sys.stderr.isatty() else ProgressKind.NONE
    return progress.DISPLAYS[kind.value]()


if __name__ == "__main__":
    main()
