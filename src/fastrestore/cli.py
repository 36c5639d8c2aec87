"""The command line: parses, calls, prints, sets the exit code. It decides nothing."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fastrestore.errors import FastRestoreError, JobCancelledError, UsageError

if TYPE_CHECKING:
    from fastrestore.progress import Display
    from fastrestore.runtime.job import Job
    from fastrestore.runtime.report import RunReport

app = typer.Typer(
    name="fastrestore",
    help="Restores old film and low-resolution video to 4K at 60 frames a second.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="The networks that fastrestore knows.", no_args_is_help=True)
app.add_typer(models_app, name="models")


class ProgressKind(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    BAR = "bar"
    JSON = "json"
    NONE = "none"


def main() -> None:
    """Run the command line; every error becomes one line with a hint and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(standalone_mode=True)
    except FastRestoreError as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail(JobCancelledError("stopped; nothing was written under the output's name"))
    except BrokenPipeError:
        sys.exit(1)


def _fail(error: FastRestoreError) -> None:
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        from fastrestore import __version__

        print(__version__)
        raise typer.Exit


@app.command()
def convert(
    inputs: Annotated[list[Path], typer.Argument(help="Video files.", metavar="INPUT...")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write; a folder for several inputs.")],
    to: Annotated[str, typer.Option(help="Size: 8k, 4k, 1440p, 1080p, 720p, WxH or xN.")] = "4k",
    fps: Annotated[str, typer.Option(help="Frames a second: 60, 60000/1001, xN, or source.")] = "60",
    sr: Annotated[str, typer.Option(help="Restoration network or family; see `models list`.")] = "film",
    vfi: Annotated[str, typer.Option(help="Motion model; see `models list`.")] = "dis",
    backend: Annotated[str, typer.Option(help="What runs the networks.")] = "auto",
    plan: Annotated[str, typer.Option(help="guided, upscale-first or interpolate-first.")] = "guided",
    codec: Annotated[str, typer.Option(help="x264, x265, svtav1, ffv1, h264_nvenc, hevc_nvenc or av1_nvenc.")] = "x264",
    crf: Annotated[Optional[int], typer.Option(help="Quality; lower is better. Each codec has its default.")] = None,
    preset: Annotated[Optional[str], typer.Option(help="Encoder preset.")] = None,
    bit_depth: Annotated[str, typer.Option(help="auto keeps the source's; 8 or 10.")] = "auto",
    audio: Annotated[Optional[Path], typer.Option(help="A new soundtrack, instead of the source's.")] = None,
    tile: Annotated[str, typer.Option(help="Side of a tile in source pixels, or auto.")] = "auto",
    start: Annotated[Optional[str], typer.Option(help="Begin here: seconds or [HH:]MM:SS.")] = None,
    end: Annotated[Optional[str], typer.Option(help="End here.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads for the network; 0 uses every core.")] = 0,
    keep_holds: Annotated[bool, typer.Option(help="Show held frames where the source does.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace existing outputs.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Print the plan and stop.")] = False,
    progress: Annotated[ProgressKind, typer.Option(help="How progress is shown.")] = ProgressKind.AUTO,
    report: Annotated[Optional[Path], typer.Option(help="Write what was done as JSON.")] = None,
) -> None:
    """Restore videos: larger, smoother, with every track, complete to the frame."""
    from fastrestore.api import open_video, parse_plan, plan_job
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
    reports = []
    for source, target in _outputs(inputs, output):
        with open_video(source, start=options.start, end=options.end) as reader:
            job = plan_job(reader, target, options)
            _print_plan(job, to_stdout=dry_run)
            if not dry_run:
                reports.append(_run(job, progress))
    if report is not None and reports:
        _write_reports(report, reports)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path("fastrestore-demo"),
    progress: Annotated[ProgressKind, typer.Option(help="How progress is shown.")] = ProgressKind.AUTO,
) -> None:
    """Restore the embedded old film to 4K60, with a side-by-side clip and a page to look at."""
    from fastrestore.demo.run import run_demo

    with _shown(progress) as on_progress:
        results = run_demo(output, on_progress, announce=lambda job: _print_plan(job, to_stdout=False))
    _print_summary(results.report)
    for label, path in results.files():
        print(f"{label:<14} {path}")


@app.command()
def compare(
    left: Annotated[Path, typer.Argument(help="A video.")],
    right: Annotated[Path, typer.Argument(help="Another.")],
    output: Annotated[
        Optional[Path], typer.Option("-o", "--output", help="Page with a slider.", metavar="PAGE.html")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two videos: PSNR and SSIM where sizes allow, and a page with a before/after slider."""
    from fastrestore import compare as comparison

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
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
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
def models_list(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List every model."""
    from fastrestore.models.catalog import catalog

    if as_json:
        print(json.dumps([_model_facts(spec.name) for spec in catalog()], indent=2))
        return
    for spec in catalog():
        scale = f"x{spec.scale}" if spec.scale > 1 else "-"
        print(f"{spec.name:<16} {spec.task:<8} {scale:<4} {spec.summary}")


@models_app.command("show")
def models_show(name: str, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
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
    if text.isdigit() and (not allowed or int(text) in allowed):
        return int(text)
    known = " or ".join(str(value) for value in allowed) if allowed else "a number of pixels"
    raise UsageError(f"`{option} {text}` is not understood", f"use `auto`, {known}")


def _outputs(inputs: list[Path], output: Path) -> list[tuple[Path, Path]]:
    if len(inputs) == 1 and not output.is_dir():
        return [(inputs[0], output)]
    if not output.is_dir():
        raise UsageError(f"several inputs need a folder as output, and {output} is none", "make the folder first")
    pairs = [(source, output / f"{source.stem}.mkv") for source in inputs]
    if len({target for _, target in pairs}) < len(pairs):
        raise UsageError("two inputs would get the same output name", "convert them one by one")
    return pairs


def _run(job: Job, progress: ProgressKind) -> RunReport:
    with _shown(progress) as on_progress:
        report = job.run(on_progress)
    if progress is ProgressKind.JSON:
        print(json.dumps({"event": "done", **json.loads(report.to_json())}), flush=True)
    else:
        _print_summary(report)
    return report


def _print_plan(job: Job, *, to_stdout: bool) -> None:
    for key, value in job.describe().items():
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


def _write_reports(path: Path, reports: list[RunReport]) -> None:
    whole = [json.loads(report.to_json()) for report in reports]
    try:
        path.write_text(json.dumps(whole[0] if len(whole) == 1 else whole, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write report {path}: {error.strerror}", "choose another file") from error


def _shown(kind: ProgressKind) -> Display:
    from fastrestore import progress

    if kind is ProgressKind.AUTO:
        kind = ProgressKind.BAR if sys.stderr.isatty() else ProgressKind.NONE
    return progress.DISPLAYS[kind.value]()


if __name__ == "__main__":
    main()
