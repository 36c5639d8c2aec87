"""The films that are to be converted: as a TOML file lists them, or as files that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from fastrestore.api import open_source
from fastrestore.bench.tables import Table, read_table
from fastrestore.config import ConvertOptions, RateTarget, parse_time
from fastrestore.errors import UsageError
from fastrestore.frames import FORMATS, Colour, StreamInfo
from fastrestore.runtime.profiles import parse_size


@dataclass(frozen=True, slots=True)
class Films:
    """Films of one kind."""

    name: str
    info: StreamInfo
    """What is known of each; duration and rate are."""
    seconds: Fraction
    """Of each."""
    count: int = 1
    source_bytes: float = 0.0
    """Of each; 0 if unknown."""


def read_films(paths: Sequence[Path], options: ConvertOptions) -> list[Films]:
    """Return the films of lists (`.toml`) and video files.

    Raises:
        UsageError: If a list cannot be used, or nothing is named.
        DecodeError: If a file is no video.
    """
    if not paths:
        raise UsageError("no films are named", "name videos, or a list such as `films.toml`")
    found: list[Films] = []
    for path in paths:
        found += _listed(path) if path.suffix == ".toml" else [_probed(path, options)]
    return found


def _listed(path: Path) -> list[Films]:
    root = read_table(path)
    tables = root.tables("film")
    root.close()
    if not tables:
        raise UsageError(f"{path} tells of no film", "add a table `[[film]]`")
    return [_film(table) for table in tables]


def _film(table: Table) -> Films:
    name = table.text("name")
    size, rate = parse_size(table.text("size")), _rate(table)
    seconds = parse_time(table.text("duration"))
    format_name = table.text("format", "yuv420p")
    mbit_per_s = table.number("source_mbit_per_s", 0.0)
    count = table.count("count", 1)
    table.close()
    if format_name not in FORMATS:
        raise UsageError(f"{table.where}: unknown `format` `{format_name}`", f"known: {', '.join(FORMATS)}")
    if not seconds or not min(size.width, size.height) >= 2:
        raise UsageError(f"{table.where}: there is nothing to convert", "give a `duration` and a `size` above zero")
    info = StreamInfo(size, FORMATS[format_name], Colour(), rate, duration=seconds)
    return Films(name, info, seconds, count, float(seconds) * mbit_per_s * 1e6 / 8)


def _rate(table: Table) -> Fraction:
    text = table.text("fps")
    found = RateTarget.parse(text).rate
    if found is None:
        raise UsageError(f"{table.where}: `fps` is `{text}`, wanted frames a second", "use for example `24000/1001`")
    return found


def _probed(path: Path, options: ConvertOptions) -> Films:
    with open_source(path, options) as reader:
        info = reader.info
        seconds = info.duration
    if seconds is None and info.frame_count and info.rate:
        seconds = info.frame_count / info.rate
    if not seconds:
        raise UsageError(f"{path} does not say how long it is", "list it in a TOML file with its `duration`")
    return Films(path.name, info, seconds, 1, float(path.stat().st_size))
