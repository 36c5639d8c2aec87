"""The options of `convert` by their names: from the words of a command line, or from the values of a job file."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from fastrestore import config
from fastrestore.errors import UsageError
from fastrestore.presets.film import load_preset

Value: TypeAlias = str | int | float | bool | Path | tuple[str, ...]
"""What an option can be given."""
PRESET = "preset-film"
"""The option that stands for others."""
LISTS = ("color-from",)
"""Options that may be given several times."""
OFF = "off"
"""Asks for no stage, also where a preset has it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One option."""

    field: str
    """Of `ConvertOptions`; or of its `encode` or `film`, with `encode.` or `film.` before it."""
    read: Callable[[str, Value], object]
    """Makes the field's value of the option's name and what it was given."""


def options_from(values: Mapping[str, Value]) -> config.ConvertOptions:
    """Return the options of a conversion; what is not given is left at its default.

    Args:
        values: By the option's name without its dashes in front, such as `bit-depth`. A film preset gives values of
            its own to the options that are not named.

    Raises:
        UsageError: If a name is not known, or a value is not understood.
    """
    given = dict(values)
    if PRESET in given:
        given = {**load_preset(_words(PRESET, given.pop(PRESET))).options, **given}
    fields: dict[str, object] = {}
    for name, value in given.items():
        require_known(name, (*SETTINGS, PRESET), "option")
        setting = SETTINGS[name]
        fields[setting.field] = setting.read(name, value)
    encode, film = _taken(fields, "encode."), _taken(fields, "film.")
    return config.ConvertOptions(
        encode=config.EncodeOptions(**encode),  # type: ignore[arg-type]
        film=config.FilmOptions(**film),  # type: ignore[arg-type]
        **fields,  # type: ignore[arg-type]
    )


def _taken(fields: dict[str, object], prefix: str) -> dict[str, object]:
    """Take out the fields of a group of options, by their names within it."""
    return {name.removeprefix(prefix): fields.pop(name) for name in list(fields) if name.startswith(prefix)}


def require_known(name: str, known: Iterable[str], kind: str) -> None:
    """Refuse a name that is none of those known, and offer the nearest.

    Raises:
        UsageError: If it is none.
    """
    names = list(known)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        nearest = f"did you mean `{near[0]}`? " if near else ""
        raise UsageError(f"unknown {kind} `{name}`", f"{nearest}known: {', '.join(sorted(names))}")


def auto_int(text: str, option: str, allowed: tuple[int, ...] = ()) -> int | None:
    """Parse `auto` or a number.

    Raises:
        UsageError: If it is neither, or not among those allowed.
    """
    if text == "auto":
        return None
    if text.isascii() and text.isdigit() and (not allowed or int(text) in allowed):
        return int(text)
    known = " or ".join(str(value) for value in allowed) if allowed else "a number of pixels"
    raise UsageError(f"`{option} {text}` is not understood", f"use `auto`, {known}")


def _words(name: str, value: Value) -> str:
    if isinstance(value, bool):
        raise UsageError(f"`{name}` is {str(value).lower()}: wanted words or a number", _hint(name))
    return str(value)


def _whole(name: str, value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"`{name}` is `{value}`: wanted a whole number", _hint(name))
    return value


def _threads(name: str, value: Value) -> int:
    count = _whole(name, value)
    if not 0 <= count <= 1024:
        raise UsageError(f"`{name}` is {count}: wanted 0 to 1024", _hint(name))
    return count


def _switch(name: str, value: Value) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"`{name}` is `{value}`: wanted true or false", _hint(name))
    return value


def _path(name: str, value: Value) -> Path:
    return Path(_words(name, value))


def _plan(name: str, value: Value) -> object:
    from fastrestore.api import parse_plan  # it loads all that runs; the command line names options without

    return parse_plan(_words(name, value))


def _on_error(name: str, value: Value) -> config.OnError:
    try:
        return config.OnError(_words(name, value))
    except ValueError as error:
        raise UsageError(f"`--on-error {value}` is not understood", "use `repair` or `fail`") from error


def _media(name: str, value: Value) -> config.Media:
    try:
        return config.Media(_words(name, value))
    except ValueError as error:
        raise UsageError(f"`--media {value}` is not understood", "use `host` or `card`") from error


def _parsed(parse: Callable[[str], object]) -> Callable[[str, Value], object]:
    return lambda name, value: parse(_words(name, value))


def _off(name: str, value: Value) -> str:
    """Return the words of a stage for old film; none if they ask for none."""
    words = _words(name, value)
    return "" if words == OFF else words


def _list(name: str, value: Value) -> tuple[str, ...]:
    words = tuple(value) if isinstance(value, tuple) else (_words(name, value),)
    return () if words == (OFF,) else words


def _auto(allowed: tuple[int, ...] = ()) -> Callable[[str, Value], object]:
    return lambda name, value: auto_int(_words(name, value), f"--{name}", allowed)


def _hint(name: str) -> str:
    return f"see `--{name}` in `fastrestore convert --help`"


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "to": Setting("to", _parsed(config.Target.parse)),
        "fps": Setting("fps", _parsed(config.RateTarget.parse)),
        "sr": Setting("sr", _words),
        "vfi": Setting("vfi", _words),
        "backend": Setting("backend", _words),
        "plan": Setting("plan", _plan),
        "codec": Setting("encode.codec", _words),
        "crf": Setting("encode.crf", _whole),
        "preset": Setting("encode.preset", _words),
        "bit-depth": Setting("encode.bit_depth", _auto((8, 10))),
        "audio": Setting("audio", _path),
        "tile": Setting("tile", _auto()),
        "start": Setting("start", _parsed(config.parse_time)),
        "end": Setting("end", _parsed(config.parse_time)),
        "threads": Setting("threads", _threads),
        "keep-holds": Setting("keep_holds", _switch),
        "overwrite": Setting("overwrite", _switch),
        "on-error": Setting("on_error", _on_error),
        "max-memory": Setting("max_memory", _parsed(config.parse_bytes)),
        "media": Setting("media", _media),
        "restart": Setting("restart", _switch),
        "verify": Setting("verify", _switch),
        "deinterlace": Setting("film.deinterlace", _off),
        "detelecine": Setting("film.detelecine", _switch),
        "clean": Setting("film.clean", _off),
        "color-from": Setting("film.color_from", _list),
        "colorize": Setting("film.colorize", _off),
        "deflicker": Setting("film.deflicker", _off),
        "steady": Setting("film.steady", _off),
        "grain": Setting("film.grain", _off),
        "faces": Setting("film.faces", _off),
        "provenance": Setting("provenance", _switch),
        "c2pa": Setting("c2pa", _words),
    }
)
"""Every option that says how a film is converted. Adding one is one line here and one in the command."""
