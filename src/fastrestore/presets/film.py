"""Film presets: which options of `convert` suit a kind of film. They ship as TOML files beside this one.

A preset says nothing of what is wanted (size, rate, coding): only of what there is. Options given by name beat it.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from fastrestore.errors import UsageError

Value: TypeAlias = str | int | float | bool
"""What an option can be given in a preset."""

SHIPPED: Final = ("silent-1900", "16mm", "vhs", "dvd", "anime")
"""Names of the presets that ship, oldest kind of film first."""
OPTIONS: Final = (
    *("deinterlace", "detelecine", "clean", "color-from", "colorize", "deflicker", "steady", "grain", "faces"),
    *("sr", "vfi", "plan", "keep-holds", "on-error"),
    *("to", "fps", "codec", "crf", "preset", "bit-depth"),
)
"""Options of `convert` that a preset may set, without their dashes in front: the film's, the networks', and, for files
of one's own, the output's. What belongs to one run alone (`start`, `audio`, `overwrite`) is not among them."""
LARGEST_BYTES: Final = 1 << 16
"""Longest preset file; a larger one is something else."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_TEXT: Final = 400


@dataclass(frozen=True, slots=True)
class FilmPreset:
    """A named bundle of options."""

    name: str
    summary: str
    """What kind of film it is for."""
    options: Mapping[str, Value]
    """By name without dashes in front, such as `keep-holds`, in the order of the file."""
    text: str
    """The file itself: its comments say why."""
    path: Path | None = None
    """The file; None for those that ship."""


def presets() -> tuple[FilmPreset, ...]:
    """Return the presets that ship.

    Raises:
        UsageError: If one is damaged.
    """
    return tuple(load_preset(name) for name in SHIPPED)


def is_file(name_or_path: str) -> bool:
    """Return whether a word names a file of somebody's own, rather than a preset that ships."""
    return name_or_path.endswith(".toml") or "/" in name_or_path


def load_preset(name_or_path: str) -> FilmPreset:
    """Return a preset by its name, or read one from a file: whatever ends in `.toml` or has a folder in it.

    Raises:
        UsageError: If there is none of that name, the file cannot be read, or it holds what no preset can.
    """
    if is_file(name_or_path):
        path = Path(name_or_path)
        return _parsed(path.stem, _read(path), path)
    if name_or_path not in SHIPPED:
        near = _nearest(name_or_path, SHIPPED)
        raise UsageError(
            f"there is no film preset `{name_or_path}`",
            f"{near}known: {', '.join(SHIPPED)}; or a file of yours, FILE.toml",
        )
    text = files("fastrestore.presets").joinpath(f"{name_or_path}.toml").read_text(encoding="utf-8")
    return _parsed(name_or_path, text, None)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise UsageError(f"the preset {path} is larger than {LARGEST_BYTES} bytes", "name a file of options")
        return content.decode()
    except OSError as error:
        raise UsageError(f"cannot read the preset {path}: {error.strerror}", "check its name") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the preset {path} is no text", "write it in UTF-8") from error


def _parsed(name: str, text: str, path: Path | None) -> FilmPreset:
    where = f"the preset {path or name}"
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(
            f"{where} cannot be read: {error}", "`fastrestore presets show 16mm` shows what one looks like"
        ) from error
    for key in table:
        _require_known(key, ("summary", "options"), where, "key")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{where} has no usable name", "use letters, digits, `.`, `_` and `-`")
    options = table.get("options", {})
    if not isinstance(options, dict):
        raise UsageError(f"{where}: `options` is no table", "begin the options with a line `[options]`")
    for option, value in options.items():
        _require_known(option, OPTIONS, where, "option")
        _require_plain(value, f"{where}: `{option}`")
    return FilmPreset(name, _summary(table, where), MappingProxyType(dict(options)), text, path)


def _summary(table: Mapping[str, Any], where: str) -> str:
    summary = table.get("summary", "")
    if not isinstance(summary, str) or len(summary) > _LONGEST_TEXT or not summary.isprintable():
        raise UsageError(f"{where}: `summary` is no line of text", "write one line that says what it is for")
    return summary


def _require_plain(value: object, what: str) -> None:
    # Printable only: a stranger's preset must not steer the terminal that shows it.
    text = isinstance(value, str) and value.isprintable() and 0 < len(value) <= _LONGEST_TEXT
    number = isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
    if not (text or number):
        raise UsageError(f"{what} cannot be {ascii(value)[:60]}", "wanted words in quotes, a number, true or false")


def _require_known(key: str, known: Iterable[str], where: str, kind: str) -> None:
    names = tuple(known)
    if key not in names:
        raise UsageError(
            f"{where}: unknown {kind} {ascii(key)[:60]}", f"{_nearest(key, names)}known: {', '.join(names)}"
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.replace("_", "-"), list(known), n=1)
    return f"did you mean `{near[0]}`? " if near else ""
