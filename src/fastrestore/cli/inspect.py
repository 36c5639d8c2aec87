"""`compare` and `doctor`: commands that only look."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from fastrestore.cli.options import AsJson, app
from fastrestore.errors import UsageError


@app.command()
def compare(
    left: Annotated[Path, typer.Argument(help="A video.", metavar="LEFT")],
    right: Annotated[Optional[Path], typer.Argument(help="Another.", metavar="RIGHT")] = None,
    output: Annotated[
        Optional[Path],
        typer.Option("-o", "--output", help="Page with a slider; a picture with --at.", metavar="FILE"),
    ] = None,
    at: Annotated[
        Optional[str],
        typer.Option(help="Show LEFT at these times, joined by commas, with and without stages.", metavar="TIMES"),
    ] = None,
    stages: Annotated[
        Optional[str], typer.Option(help="Stages for old film, such as clean,steady=fill.", metavar="LIST")
    ] = None,
    width: Annotated[
        int, typer.Option(min=64, max=3840, help="Widest a frame is on a contact sheet.", metavar="PX")
    ] = 720,
    mask: Annotated[
        Optional[Path], typer.Option(help="Write where `clean` repaired the first frame, too.", metavar="FILE.png")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two videos, or one with and without stages."""
    if at is not None or stages is not None:
        _show_stages(left, right, output, at, stages, width, mask)
        return
    if right is None:
        raise UsageError("there is nothing to compare with", "name a second video, or use `--at TIME --stages LIST`")
    _compare_two(left, right, output, as_json=as_json)


def _show_stages(
    left: Path,
    right: Path | None,
    output: Path | None,
    at: str | None,
    stages: str | None,
    width: int,
    mask: Path | None,
) -> None:
    from fastrestore.config import FilmOptions, parse_time
    from fastrestore.contact_sheet import write_sheet

    if right is not None or output is None or not at or not stages:
        raise UsageError(
            "a contact sheet takes one video, times, stages and a name",
            "use for example `fastrestore compare FILM --at 3.5,12 --stages clean,steady -o sheet.png`",
        )
    times = [parse_time(time) for time in at.split(",")]
    write_sheet(left, output, times, FilmOptions.parse(stages), widest_px=width, mask=mask)
    print(output, file=sys.stderr)


def _compare_two(left: Path, right: Path, output: Path | None, *, as_json: bool) -> None:
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
def doctor(as_json: AsJson = False) -> None:
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
