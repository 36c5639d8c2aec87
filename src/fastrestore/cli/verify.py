"""`verify`: is a finished file whole?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fastrestore.cli.options import AsJson, app
from fastrestore.errors import UsageError

if TYPE_CHECKING:
    from fastrestore.runtime.verify.verdict import Verdict


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="Finished videos.", metavar="OUT...")],
    against: Annotated[
        Optional[Path], typer.Option("--against", help="Their source, to hold them against.", metavar="SOURCE")
    ] = None,
    decode: Annotated[bool, typer.Option("--decode/--no-decode", help="Decode every track to its end.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check that finished files are whole: every frame, time, track and tag that they promise."""
    from fastrestore.runtime.verify import verdict

    if against is not None and len(files) > 1:
        raise UsageError(f"`--against` got one source for {len(files)} files", "verify them one by one")
    verdicts: list[Verdict] = []
    for path in files:
        verdicts.append(verdict.verify(path, against=against, decode=decode))
        if not as_json:
            _show(verdicts[-1])
    if as_json:
        print(verdict.as_json(verdicts))
    if not all(each.passed for each in verdicts):
        raise typer.Exit(1)


def _show(found: Verdict) -> None:
    print(f"{'ok' if found.passed else 'FAILED':<8} {found.file}")
    if found.frames:
        segments = f", {found.segments} segments" if found.segments else ""
        print(f"{'':<8} {found.frames} frames in {found.duration_s:.3f} s{segments}, {found.tracks} other tracks")
        print(f"{'':<8} checked: {', '.join(_checked(found))}")
    for finding in found.findings:
        print(f"{finding.severity.value:<8} {finding.code:<22} {finding.message}")


def _checked(found: Verdict) -> list[str]:
    words = ["every packet"]
    if found.promised:
        words.append("its manifest")
    if found.decoded:
        words.append("decoded to the end")
    if found.against is not None:
        pictures = f" at {found.compared} instants" if found.compared else ""
        words.append(f"against {found.against}{pictures}")
    return words
