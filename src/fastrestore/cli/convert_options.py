"""The options of `convert`, and which of them a command line has given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from fastrestore.batch.settings import PRESET, SETTINGS, Value

Inputs = Annotated[
    list[str],
    typer.Argument(help="Video files, folders, 'patterns' in quotes, @LIST or - for a list.", metavar="INPUT"),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="File to write; a folder for several.", metavar="OUT")]
To = Annotated[str, typer.Option(help="8k, 4k, 1440p, 1080p, 720p, WxH or xN.", metavar="SIZE")]
Fps = Annotated[str, typer.Option(help="60, 60000/1001, xN, or source.", metavar="RATE")]
Sr = Annotated[str, typer.Option(help="Restoration network or family; see `models list`.", metavar="MODEL")]
Vfi = Annotated[str, typer.Option(help="Motion model; see `models list`.", metavar="MODEL")]
Backend = Annotated[str, typer.Option(help="What runs the networks; see `doctor`.", metavar="NAME")]
Order = Annotated[str, typer.Option(help="guided, upscale-first or interpolate-first.", metavar="ORDER")]
Codec = Annotated[
    str, typer.Option(help="x264, x265, svtav1, ffv1, h264_nvenc, hevc_nvenc or av1_nvenc.", metavar="NAME")
]
Crf = Annotated[Optional[int], typer.Option(help="Quality; lower is better. Each codec has its default.", metavar="N")]
Preset = Annotated[Optional[str], typer.Option(help="Encoder preset.", metavar="NAME")]
BitDepth = Annotated[str, typer.Option(help="auto keeps the source's; 8 or 10.", metavar="BITS")]
Audio = Annotated[Optional[Path], typer.Option(help="A new soundtrack, instead of the source's.", metavar="FILE")]
Tile = Annotated[str, typer.Option(help="Side of a tile in source pixels, or auto.", metavar="N")]
Start = Annotated[Optional[str], typer.Option(help="Begin here: seconds or [HH:]MM:SS.", metavar="TIME")]
End = Annotated[Optional[str], typer.Option(help="End here.", metavar="TIME")]
Threads = Annotated[int, typer.Option(min=0, max=1024, help="For the network; 0 uses every core.", metavar="N")]
KeepHolds = Annotated[
    bool, typer.Option("--keep-holds/--no-keep-holds", help="Show held frames where the source does.")
]
Workers = Annotated[
    str,
    typer.Option(
        help="Processes that make segments of a film at the same time; auto: one a card; see docs/cluster.md.",
        metavar="N",
    ),
]
Ray = Annotated[
    Optional[str],
    typer.Option(help="Make segments on a Ray cluster: auto, or its address; see docs/cluster.md.", metavar="ADDRESS"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs, once complete.")]
OnFault = Annotated[
    str, typer.Option(help="repair mends single faults of the source and tells; fail ends the run.", metavar="WHAT")
]
MaxMemory = Annotated[Optional[str], typer.Option(help="Refuse what would need more, such as 8G.", metavar="BYTES")]
OnMedia = Annotated[
    str, typer.Option(help="host: the CPU decodes; card: the card does (not tried on one yet).", metavar="WHERE")
]
Restart = Annotated[
    bool, typer.Option("--restart", "--no-resume", help="Begin anew, whatever an interrupted run has left.")
]
Verify = Annotated[bool, typer.Option("--verify/--no-verify", help="Decode what was encoded, to prove it.")]
Deinterlace = Annotated[str, typer.Option(help="off, auto, or field: a frame of every field.", metavar="WHAT")]
Detelecine = Annotated[
    bool,
    typer.Option(
        "--detelecine/--no-detelecine", help="Return frames repeated or woven to fit a rate to their own instants."
    ),
]
Clean = Annotated[str, typer.Option(help="Dust and scratches: off, low, medium or high.", metavar="HOW")]
ColorFrom = Annotated[
    Optional[list[str]], typer.Option(help="Colour by this frame; may be repeated.", metavar="FRAME.png[@T]")
]
Colorize = Annotated[str, typer.Option(help="Colour by a network.", metavar="MODEL")]
Deflicker = Annotated[str, typer.Option(help="Uneven exposure: off, global or local.", metavar="HOW")]
Steady = Annotated[str, typer.Option(help="Shake and gate weave: off, crop or fill.", metavar="HOW")]
Grain = Annotated[str, typer.Option(help="off, keep, remove or add.", metavar="WHAT")]
Faces = Annotated[str, typer.Option(help="Rebuild faces by a network; they become another's.", metavar="MODEL")]
PresetFilm = Annotated[
    Optional[str], typer.Option(help="What suits a kind of film; see `presets list`.", metavar="NAME|FILE.toml")
]
Provenance = Annotated[
    bool, typer.Option("--provenance", help="Tell what was done in a record beside the output, too.")
]
C2pa = Annotated[
    Optional[str],
    typer.Option(help="Sign MP4 and QuickTime outputs with it.", metavar="CERT.pem[,KEY.pem]"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Report = Annotated[Optional[Path], typer.Option(help="Write what was done as JSON.", metavar="FILE.json")]
Container = Annotated[
    Optional[str], typer.Option(help="mkv, mp4 or mov, where OUT is a folder; else by OUT's name.", metavar="KIND")
]
Jobs = Annotated[Optional[Path], typer.Option(help="Settings by file; see docs/batch.md.", metavar="FILE.toml")]
SkipDone = Annotated[
    Optional[bool],
    typer.Option(
        "--skip-done/--no-skip-done",
        help="Leave outputs alone that are what would be made, and whole; so it is for several.",
        show_default=False,
    ),
]
Retries = Annotated[
    int, typer.Option(min=0, max=100, help="More attempts at a file of several, if its failure may pass.", metavar="N")
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="End several with the first that fails.")]


def given(context: typer.Context) -> dict[str, Value]:
    """Return the options for the conversion itself that the command line names, by name and as they were read."""
    names = {name.replace("-", "_"): name for name in (*SETTINGS, PRESET, "container")}
    return {
        names[parameter]: tuple(value) if isinstance(value, list) else value
        for parameter, value in context.params.items()
        if parameter in names and _is_named(context, parameter)
    }


def _is_named(context: typer.Context, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"
