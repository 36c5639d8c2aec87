"""`compare` and `doctor`: commands that only look."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from fastrestore.cli.options import AsJson, app


@app.command()
def compare(
    left: Annotated[Path, typer.Argument(help="A video.", metavar="LEFT")],
    right: Annotated[Path, typer.Argument(help="Another.", metavar="RIGHT")],
    output: Annotated[
        Optional[Path], typer.Option("-o", "--output", help="Page with a slider.", metavar="PAGE.html")
    ] = None,
    as_json: AsJson = False,
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
